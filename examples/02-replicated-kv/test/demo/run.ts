/** Starts the built demonstration as a process of its own, in a temporary folder of its own, and looks for what it leaves. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { eventually } from '../support.js'

const MAIN = fileURLToPath(new URL('../../dist/demo/main.js', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export class DemoRun implements AsyncDisposable {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Everything that the demonstration makes lies below. */
  readonly #folder = mkdtempSync(join(tmpdir(), 'kd-'))
  #stdout = ''
  #stderr = ''

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, TMPDIR: this.#folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text))
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text))
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => {
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr })
      })
    })
  }

  /** Resolves when the demonstration has said something. */
  async hasSaid(text: string): Promise<void> {
    await eventually(
      () => {
        if (this.child.exitCode !== null)
          throw new Error(`it ended before it said "${text}": ${this.#stdout}${this.#stderr}`)
        return (this.#stdout + this.#stderr).includes(text)
      },
      `the demo says "${text}"`,
      90_000,
    )
  }

  /** What it made and has not removed. */
  files(): readonly string[] {
    return readdirSync(this.#folder, { recursive: true }).map(String)
  }

  /** The pids of the node processes: their command lines name the folder. */
  nodeProcesses(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`${this.#folder}/`)
        } catch {
          return false
        }
      })
      .map(Number)
  }

  /** Also where a test fails nothing stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
    for (const pid of this.nodeProcesses()) process.kill(pid, 'SIGKILL')
    await eventually(() => this.nodeProcesses().length === 0, 'the node processes are gone')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
