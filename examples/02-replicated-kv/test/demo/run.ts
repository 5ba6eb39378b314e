/** Starts the built demonstration as a process of its own, without a terminal, and looks for what it leaves. */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { eventually } from '../support.js'
import { Sandbox } from './sandbox.js'

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
  readonly #sandbox = new Sandbox()
  #stdout = ''
  #stderr = ''

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, ...env, ...this.#sandbox.env },
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
    return this.#sandbox.files()
  }

  /** The pids of its nodes, and its own while it runs. */
  processes(): readonly number[] {
    return this.#sandbox.processes()
  }

  /** Also where a test fails nothing stays. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
    await this.#sandbox[Symbol.asyncDispose]()
  }
}
