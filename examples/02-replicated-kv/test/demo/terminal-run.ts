/** Runs `npm run demo` as a person does: on a terminal, started by a shell in a process group of its own, which Ctrl-C reaches as a whole. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Sandbox } from './sandbox.js'
import { Terminal } from './terminal.js'

const ROOT = fileURLToPath(new URL('../../../../', import.meta.url))
const CTRL_C = '\u0003'
const [COLUMNS, ROWS] = [80, 24]
const SHOW_WITHIN_MS = 120_000

export class TerminalRun implements AsyncDisposable {
  readonly terminal = new Terminal(COLUMNS, ROWS)
  /** The exit code that the shell saw. */
  readonly ended: Promise<number | null>
  readonly #script: ChildProcess
  readonly #sandbox = new Sandbox()
  readonly #lookers = new Set<() => void>()

  constructor(args: readonly string[]) {
    // With job control, as in an interactive shell, the command gets a process group of its own.
    const command = `stty cols ${COLUMNS} rows ${ROWS}; set -m; npm run demo -- ${args.join(' ')}`
    // From Node 22 on npm keeps a cache of its own code in the temporary folder.
    const npm = { NODE_DISABLE_COMPILE_CACHE: '1' }
    this.#script = spawn('script', ['--quiet', '--return', '--flush', '--command', command, '/dev/null'], {
      cwd: ROOT,
      env: { ...environment(), ...npm, ...this.#sandbox.env, SHELL: '/bin/sh', TERM: 'xterm-256color' },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    this.ended = new Promise((resolve, reject) => {
      this.#script.once('error', reject)
      this.#script.once('close', (code) => resolve(code))
      this.#script.stdout?.setEncoding('utf8').on('data', (text: string) => {
        try {
          this.terminal.write(text)
        } catch (error) {
          reject(error)
        }
        for (const look of this.#lookers) look()
      })
    })
  }

  /** Resolves as soon as a line says it. */
  async shows(what: RegExp): Promise<void> {
    const shown = (): boolean => this.terminal.lines.some((line) => what.test(line))
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer)
        this.#lookers.delete(look)
        if (error === undefined) resolve()
        else reject(error)
      }
      const fail = (why: string): void => settle(new Error(`${why} ${what}:\n${this.terminal.lines.join('\n')}`))
      const look = (): void => {
        if (shown()) settle()
      }
      const timer = setTimeout(() => fail(`within ${SHOW_WITHIN_MS} ms it did not show`), SHOW_WITHIN_MS)
      this.#lookers.add(look)
      void this.ended.then(() => fail('it ended before it showed'), settle)
      look()
    })
  }

  pressCtrlC(): void {
    this.#script.stdin?.write(CTRL_C)
  }

  files(): readonly string[] {
    return this.#sandbox.files()
  }

  processes(): readonly number[] {
    return this.#sandbox.processes()
  }

  /** The terminal is gone with `script`; whoever does not end by that is ended by its sandbox. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#script.kill('SIGKILL')
    await this.ended.catch(() => undefined)
    await this.#sandbox[Symbol.asyncDispose]()
  }
}

/** Without what an npm that runs these tests, and the tests themselves, have put there. */
function environment(): NodeJS.ProcessEnv {
  const foreign = /^(npm_.*|NODE_OPTIONS|NO_COLOR|FORCE_COLOR|CI)$/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}
