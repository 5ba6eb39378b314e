/** Watches the nodes from outside, over HTTP and by what they report, and keeps the latest picture of the cluster. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { CopyStatus, NodeStatus } from '../service/status.js'
import { httpSender, type Sender } from '../service/sender.js'
import type { Said } from './messages.js'
import type { NodeProcess } from './processes.js'

const LOOK_EVERY_MS = 200
const ANSWER_WITHIN_MS = 2000

export interface Spread {
  readonly primaries: { readonly min: number; readonly max: number }
  readonly copies: { readonly min: number; readonly max: number }
}

export interface Promotion {
  readonly node: string
  readonly token: string
  readonly epoch: number
  readonly atMs: number
}

export class Observer {
  readonly #nodes: () => readonly NodeProcess[]
  readonly #sender: Sender = httpSender({ connectionsPerHost: 4 })
  readonly #statuses = new Map<string, NodeStatus>()
  readonly #snapshots = new Map<string, number>()
  readonly #stopping = new AbortController()
  readonly #lookers = new Set<() => void>()
  readonly promotions: Promotion[] = []
  readonly failures: string[] = []
  restored = 0
  #looking: Promise<void> = Promise.resolve()

  constructor(nodes: () => readonly NodeProcess[]) {
    this.#nodes = nodes
  }

  start(): void {
    this.#looking = this.#look()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#looking
    this.#sender.close()
  }

  said(node: string, said: Said): void {
    switch (said.type) {
      case 'promoted':
        this.promotions.push({ node, token: said.token, epoch: said.epoch, atMs: said.atMs })
        break
      case 'snapshot':
        this.#snapshots.set(said.token, this.snapshots(said.token) + 1)
        break
      case 'restored':
        this.restored += 1
        break
      case 'failed':
        this.failures.push(`the copy of ${said.token} on ${node} failed: ${said.message}`)
        break
      case 'ready':
    }
    this.#wake()
  }

  /** Verified snapshots so far. */
  snapshots(token: string): number {
    return this.#snapshots.get(token) ?? 0
  }

  /** The latest word of every node that is up. */
  get statuses(): readonly NodeStatus[] {
    return this.#nodes()
      .map(({ id }) => this.#statuses.get(id))
      .filter((status) => status !== undefined)
  }

  copy(node: string, token: string): CopyStatus | undefined {
    return this.#statuses.get(node)?.copies.find((copy) => copy.token === token)
  }

  primariesOf(node: string): readonly string[] {
    const copies = this.#statuses.get(node)?.copies ?? []
    return copies.filter(({ role }) => role === 'primary').map(({ token }) => token)
  }

  /** Resolves when the condition holds; false where it did not within the time. Looked at whenever something is heard. */
  async until(condition: () => boolean, withinMs: number, signal: AbortSignal): Promise<boolean> {
    const untilMs = performance.now() + withinMs
    while (!condition()) {
      signal.throwIfAborted()
      if (performance.now() >= untilMs) return false
      await new Promise<void>((resolve) => {
        const done = (): void => {
          clearTimeout(timer)
          this.#lookers.delete(done)
          resolve()
        }
        const timer = setTimeout(done, LOOK_EVERY_MS)
        this.#lookers.add(done)
      })
    }
    return true
  }

  /** How evenly the copies lie, over the nodes that are up. */
  spread(): Spread {
    const bounds = (counts: readonly number[]): { min: number; max: number } =>
      counts.length === 0 ? { min: 0, max: 0 } : { min: Math.min(...counts), max: Math.max(...counts) }
    const { statuses } = this
    return {
      primaries: bounds(statuses.map(({ copies }) => copies.filter(({ role }) => role === 'primary').length)),
      copies: bounds(statuses.map(({ copies }) => copies.length)),
    }
  }

  /** Every token has one primary and all its copies, none is being restored, and no node has two more than another. */
  isSettled(tokens: readonly string[], copiesPerToken: number): boolean {
    const { statuses } = this
    if (statuses.length !== this.#nodes().length) return false
    const serving = (copy: CopyStatus): boolean =>
      copy.phase === 'running' && (copy.role === 'primary' || (copy.role === 'replica' && copy.caughtUp))
    for (const token of tokens) {
      const copies = statuses.flatMap((status) => status.copies.filter((copy) => copy.token === token))
      if (copies.length !== copiesPerToken || !copies.every(serving)) return false
      if (copies.filter(({ role }) => role === 'primary').length !== 1) return false
    }
    return isEven(this.spread())
  }

  async #look(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await Promise.all(this.#nodes().map((node) => this.#ask(node)))
      this.#wake()
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => undefined)
    }
  }

  /** A node that does not answer keeps its last word. */
  async #ask({ id, url }: NodeProcess): Promise<void> {
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(), ANSWER_WITHIN_MS)
    try {
      const { status, body } = await this.#sender.send(`${url}/status`, { method: 'GET', signal: deadline.signal })
      if (status === 200) this.#statuses.set(id, JSON.parse(body.toString('utf8')) as NodeStatus)
    } catch {
      return
    } finally {
      clearTimeout(timer)
    }
  }

  #wake(): void {
    for (const looker of this.#lookers) looker()
  }
}

export function isEven({ primaries, copies }: Spread): boolean {
  return primaries.max - primaries.min <= 1 && copies.max - copies.min <= 1
}
