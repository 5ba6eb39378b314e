/**
 * Runs child processes so that none outlives this one: a signal to stop is passed on, and after a while enforced.
 * Nothing else in `scripts/` spawns.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'

const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP']
const graceMs = 15_000

/**
 * Runs a program and resolves with its exit code: 128 + the signal's number where a signal ended it.
 *
 * `alone`: the child gets a process group of its own, and the whole group is stopped with it. For tools that start
 * children and need no terminal. Without it the child shares the terminal, for instance to draw on it, and also gets
 * the terminal's own Ctrl-C.
 * `output`: 'pass' inherits, 'stderr' sends its standard output to standard error, 'keep' returns it.
 */
export function run(program, args, { cwd, env, alone = true, output = 'pass', stdin = 'ignore' } = {}) {
  return new Promise((resolve, reject) => {
    const stdout = output === 'pass' ? 'inherit' : output === 'stderr' ? 2 : 'pipe'
    const stderr = output === 'keep' ? 'pipe' : 'inherit'
    const detached = alone && process.platform !== 'win32'
    const child = spawn(program, args, { cwd, env: env ?? process.env, detached, stdio: [stdin, stdout, stderr] })
    const kept = []
    child.stdout?.on('data', (chunk) => kept.push(chunk))
    child.stderr?.on('data', (chunk) => kept.push(chunk))

    const send = (signal) => {
      try {
        if (detached) process.kill(-child.pid, signal)
        else child.kill(signal)
      } catch {
        // It is gone already.
      }
    }
    let stoppedBy
    let enforcement
    const stop = (signal) => {
      stoppedBy ??= signal
      send(signal)
      enforcement ??= setTimeout(() => send('SIGKILL'), graceMs)
    }
    const settle = () => {
      clearTimeout(enforcement)
      for (const signal of stopSignals) process.off(signal, stop)
    }
    for (const signal of stopSignals) process.on(signal, stop)

    child.once('error', (error) => {
      settle()
      reject(error)
    })
    // What the child left behind in its group ends with it, and lets go of the pipes.
    if (detached) child.once('exit', () => send('SIGKILL'))
    child.once('close', (code, signal) => {
      settle()
      const text = Buffer.concat(kept).toString('utf8')
      if (stoppedBy !== undefined) return reject(new Interrupted(stoppedBy))
      resolve({ code: code ?? 128 + (constants.signals[signal] ?? 0), text })
    })
  })
}

/** Someone asked this process to stop; its children have ended. */
export class Interrupted extends Error {
  constructor(signal) {
    super(`Stopped by ${signal}.`)
    this.exitCode = 128 + constants.signals[signal]
  }
}
