/** Runs the example's programs as processes of their own, below a temporary folder that is gone afterwards. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export class Program {
  readonly child: ChildProcess
  readonly exited: Promise<number | null>
  #output = ''
  readonly #listeners = new Set<() => void>()

  constructor(name: 'main' | 'process', args: readonly string[], tmp: string) {
    const file = fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url))
    const env = { ...process.env, TMPDIR: tmp }
    this.child = spawn(process.execPath, [file, ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#output += text
      for (const listener of this.#listeners) listener()
    })
    this.exited = new Promise((resolve) => this.child.once('close', (code) => resolve(code)))
  }

  get output(): string {
    return this.#output
  }

  /** What it said, as soon as it has. */
  async said(what: RegExp): Promise<RegExpExecArray> {
    const over = this.exited.then(() => {
      throw new Error(`it ended before it said ${what}:\n${this.#output}`)
    })
    over.catch(() => undefined)
    const found = new Promise<RegExpExecArray>((resolve) => {
      const look = (): void => {
        const match = what.exec(this.#output)
        if (match === null) return
        this.#listeners.delete(look)
        resolve(match)
      }
      this.#listeners.add(look)
      look()
    })
    return Promise.race([found, over])
  }
}

export class Bench implements AsyncDisposable {
  readonly tmp = mkdtempSync(join(tmpdir(), 'km-'))
  readonly #programs: Program[] = []

  run(name: 'main' | 'process', ...args: readonly string[]): Program {
    const program = new Program(name, args, this.tmp)
    this.#programs.push(program)
    return program
  }

  files(): readonly string[] {
    return readdirSync(this.tmp)
  }

  /** Pids of processes whose command line names the folder. */
  processes(): readonly number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(this.tmp)
        } catch {
          return false
        }
      })
      .map(Number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child } of this.#programs) child.kill('SIGKILL')
    await Promise.all(this.#programs.map(({ exited }) => exited))
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL')
    rmSync(this.tmp, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
  }
}
