/**
 * Both processes in one command: they mirror each other, one is killed, the other one takes over, and gives the token back when the first
 * returns. Leaves no process and no file.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PROGRAM = fileURLToPath(new URL('./process.js', import.meta.url))
const STEP_WITHIN_MS = 30_000

const dir = mkdtempSync(join(tmpdir(), 'kagami-mirror-'))
const running = new Set<ChildProcess>()
const listeners = new Set<(line: string) => void>()
let exitCode = 0

const interrupted = new Promise<never>((_, reject) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      exitCode = 128 + constants.signals[signal]
      reject(new Error(`stopped by ${signal}`))
    })
  }
})
try {
  await Promise.race([story(), interrupted])
} catch (error) {
  if (exitCode === 0) exitCode = 1
  console.error(String(error))
} finally {
  await Promise.all([...running].map((child) => end(child, 'SIGKILL')))
  rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
}
process.exit(exitCode)

async function story(): Promise<void> {
  title('two processes, each writes its own token and mirrors the other one')
  start('token1')
  const second = start('token2')
  await Promise.all([said(/token1: sees token2 at line [3-9]/), said(/token2: sees token1 at line [3-9]/)])

  title('kill -9 of the process of token2')
  const promoted = said(/token1: is the primary of token2/)
  const continued = said(/token1: wrote line \d+ of token2/)
  await end(second, 'SIGKILL')
  await promoted
  await continued

  title('the process of token2 returns, and gets its token back')
  const back = said(/token2: is the primary of token2/)
  const writes = said(/token2: wrote line \d+ of token2/)
  start('token2')
  await back
  await writes
  await said(/token1: sees token2 at line/)

  title('both stop')
  await Promise.all([...running].map((child) => end(child, 'SIGTERM')))
}

function start(token: string): ChildProcess {
  const child = fork(PROGRAM, [token, '--dir', dir, '--remove-dir'], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    // Out of the terminal's group: Ctrl-C reaches this process alone, which then ends both.
    detached: true,
    execArgv: [],
  })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      console.log(line)
      for (const listener of listeners) listener(line)
    }
  })
  return child
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    child.once('exit', () => resolve())
    child.kill(signal)
  })
}

/** Resolves when one of the processes says it. */
function said(what: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`nobody said ${what} within ${STEP_WITHIN_MS} ms`)), STEP_WITHIN_MS)
    const listener = (line: string): void => {
      if (!what.test(line)) return
      clearTimeout(timer)
      listeners.delete(listener)
      resolve()
    }
    listeners.add(listener)
  })
}

function title(text: string): void {
  console.log(`\n== ${text}`)
}
