/** A temporary folder in which a run makes everything that it makes, and what of it is left. Whatever is left goes with the folder. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eventually } from '../support.js'

export class Sandbox implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'kd-'))

  /** What a process needs to stay inside. The processes that it starts inherit it, which is how they are found. */
  get env(): { readonly TMPDIR: string } {
    return { TMPDIR: this.#folder }
  }

  files(): readonly string[] {
    return readdirSync(this.#folder, { recursive: true }).map(String)
  }

  /** The pids of the processes that still run. */
  processes(): readonly number[] {
    const mark = `\0TMPDIR=${this.env.TMPDIR}\0`
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((pid) => {
        try {
          return `\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.includes(mark)
        } catch {
          return false
        }
      })
      .map(Number)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL')
    await eventually(() => this.processes().length === 0, 'the processes are gone')
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
