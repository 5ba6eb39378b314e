/** Runs the processes that tests kill and freeze. None outlives its test. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import type { EmbeddedOptions } from '../src/index.js'

/** What a process reports by itself. */
export interface Report {
  readonly event: string
  readonly [name: string]: unknown
}

const script = fileURLToPath(new URL('children/node.mjs', import.meta.url))

export class NodeProcess {
  readonly reports: Report[] = []
  readonly #child: ChildProcess
  readonly #calls = new Map<number, { resolve(value: unknown): void; reject(error: unknown): void }>()
  readonly #exited: Promise<void>
  #waiting: (() => void)[] = []
  #ids = 0

  constructor(child: ChildProcess) {
    this.#child = child
    this.#exited = new Promise((resolve) => child.once('exit', () => resolve()))
    child.on(
      'message',
      (message: Report & { readonly id?: number; readonly value?: unknown; readonly error?: unknown }) => {
        if (message.id === undefined) this.reports.push(message)
        else {
          const call = this.#calls.get(message.id)
          if (message.error === undefined) call?.resolve(message.value)
          else call?.reject(Object.assign(new Error('the process said no'), message.error))
        }
        const waiting = this.#waiting
        this.#waiting = []
        for (const wake of waiting) wake()
      },
    )
  }

  get pid(): number {
    return this.#child.pid!
  }

  call(command: string, ...args: unknown[]): Promise<unknown> {
    const id = this.#ids++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      this.#child.send([id, command, ...args])
    })
  }

  /** The first report that satisfies the condition, of those that came or will come. */
  async report(condition: (report: Report) => boolean, after = 0): Promise<Report> {
    for (;;) {
      const found = this.reports.slice(after).find(condition)
      if (found !== undefined) return found
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  of(event: string): Report[] {
    return this.reports.filter((report) => report.event === event)
  }

  freeze(): void {
    process.kill(this.pid, 'SIGSTOP')
  }

  thaw(): void {
    process.kill(this.pid, 'SIGCONT')
  }

  async kill(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    await this.#exited
  }
}

/** A process that takes part in the folder, killed when the test is over. */
export async function startProcess(
  dir: string,
  node: string,
  settings: Omit<EmbeddedOptions, 'dir'> = {},
  env: Readonly<Record<string, string>> = {},
): Promise<NodeProcess> {
  const child = new NodeProcess(
    fork(script, [dir, node, JSON.stringify(settings)], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [],
    }),
  )
  onTestFinished(() => child.kill())
  await child.call('start')
  return child
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Milliseconds on the clock that processes report by. */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6
}
