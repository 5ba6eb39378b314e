/** Starts whole clusters in one process, over the in-memory adapters, for tests of the runtime. */
import { memoryCluster, type MemoryCluster } from '@kagami/testkit'
import { evenPlacement } from '@kagami/placement-even'
import type { CommitLog, Document, SnapshotMeta } from '../../src/contract/index.js'
import {
  assignmentDocument,
  bucketOf,
  reportDocument,
  specDocument,
  type Assignment,
  type CopyReport,
  type Spec,
} from '../../src/engine/documents.js'
import {
  createKagami,
  systemSeams,
  type Clock,
  type Entry,
  type Kagami,
  type KagamiOptions,
  type StateMachine,
  type StateSnapshot,
  type Timer,
} from '../../src/index.js'

/** A state machine that remembers every entry, as text, in order. */
export class Ledger implements StateMachine<number> {
  lines: string[] = []

  apply(entry: Entry): number {
    const line = Buffer.from(entry.value).toString()
    if (line.startsWith('poison')) throw new Error(`can't take ${line}`)
    return this.lines.push(line)
  }

  snapshot(): StateSnapshot {
    const lines = [...this.lines]
    return {
      async *persist() {
        for (const line of lines) yield Buffer.from(`${line}\n`)
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    this.lines = Buffer.concat(parts).toString().split('\n').slice(0, -1)
  }
}

export const bytes = (text: string): Uint8Array => Buffer.from(text)

const quiet = () => undefined
const quietSeams = { logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } }

export const TEN_YEARS_MS = 315_576_000_000

/** The time of day in tests: so early that creations of tokens are counted from 1 on. */
const then = (): number => Date.now() - TEN_YEARS_MS

export class TestCluster implements AsyncDisposable {
  readonly world: MemoryCluster = memoryCluster()
  readonly nodes = new Map<string, Kagami<number>>()

  make(id: string, options: Partial<KagamiOptions<number>> = {}): Kagami<number> {
    return createKagami<number>({
      cluster: 'test',
      node: { id },
      log: this.world.commitLog(),
      coordinator: this.world.coordinator({ sessionTimeoutMs: 500 }),
      snapshots: this.world.snapshotStore(),
      placement: evenPlacement(),
      stateMachine: () => new Ledger(),
      limits: { lookMs: 50, restoreTimeoutMs: 500 },
      placementLimits: { graceMs: 200 },
      ...options,
      seams: {
        ...(process.env['KAGAMI_TEST_LOG'] ? { logger: console } : quietSeams),
        clock: { ...systemSeams().clock, now: then },
        ...options.seams,
      },
    })
  }

  async start(id: string, options: Partial<KagamiOptions<number>> = {}): Promise<Kagami<number>> {
    const kagami = this.make(id, options)
    this.nodes.set(id, kagami)
    await kagami.start()
    return kagami
  }

  node(id: string): Kagami<number> {
    const kagami = this.nodes.get(id)
    if (kagami === undefined) throw new Error(`no node ${id}`)
    return kagami
  }

  async stop(id: string): Promise<void> {
    await this.node(id).stop()
    this.nodes.delete(id)
  }

  /** The node that serves a token as its primary. */
  primary(token: string): Kagami<number> | undefined {
    for (const kagami of this.nodes.values()) if (kagami.get(token)?.role === 'primary') return kagami
    return undefined
  }

  /** The node that serves the token, once what it holds is up to date. */
  async serving(token: string, incarnation: number): Promise<Kagami<number>> {
    const node = await eventually(() => {
      const primary = this.primary(token)
      return primary !== undefined && primary.locate(token)?.incarnation === incarnation && primary
    }, `a primary of incarnation ${incarnation}`)
    await node.get(token)?.sync()
    return node
  }

  /** What the coordinator's document says of a token. */
  assignment(token: string): Assignment | undefined {
    const bytes = this.#document(`assignments/${bucketOf(token)}`)
    if (!bytes?.length) return undefined
    return assignmentDocument.decode(bytes, '').tokens.find((assignment) => assignment.token === token)
  }

  /** What a node has told of its copy of a token. */
  report(node: string, token: string): CopyReport | undefined {
    const bytes = this.#document(`reports/${node}/${bucketOf(token)}`)
    return bytes && reportDocument.decode(bytes, '').tokens.find((report) => report.token === token)
  }

  /** What the coordinator's document says that people want of a token. */
  spec(token: string): Spec | undefined {
    const bytes = this.#document(`specs/${bucketOf(token)}`)
    // Of a damaged one nobody can tell.
    return bytes?.length ? specDocument.decode(bytes, '').tokens.find((spec) => spec.token === token) : undefined
  }

  /** Loses the bytes of the document that says what people want of a token. */
  damageSpec(token: string): void {
    this.world.coordination.damage('test', `specs/${bucketOf(token)}`)
  }

  /** Loses the bytes of the document that says where a token is. */
  damageAssignment(token: string): void {
    this.world.coordination.damage('test', `assignments/${bucketOf(token)}`)
  }

  /** Puts another assignment of a token into the coordinator, as if it went back to a backup. */
  reassign(token: string, change: (assignment: Assignment) => Assignment): void {
    const { coordination } = this.world
    const { documents, ...rest } = coordination.backup()
    const { document, bytes } = this.#changed(token, change)
    const named = new Map(documents.get('test')).set(document.name, { ...document, bytes })
    coordination.restore({ ...rest, documents: new Map([...documents, ['test', named]]) })
  }

  /** Writes another assignment of a token, as somebody would who is no controller. */
  async overwrite(token: string, change: (assignment: Assignment) => Assignment): Promise<void> {
    const coordinator = this.world.coordinator()
    const { signal } = new AbortController()
    await coordinator.start({ cluster: 'test', node: 'writer', logger: quietSeams.logger, signal })
    const session = await coordinator.connect({ signal })
    const { document, bytes } = this.#changed(token, change)
    await session.write(document.name, bytes, document.version, { signal })
    await coordinator.stop()
  }

  #changed(
    token: string,
    change: (assignment: Assignment) => Assignment,
  ): { readonly document: Document; readonly bytes: Uint8Array } {
    const name = `assignments/${bucketOf(token)}`
    const document = this.world.coordination.documents('test').get(name)
    if (document === undefined) throw new Error(`${token} is not assigned`)
    const content = assignmentDocument.decode(document.bytes, name)
    const tokens = content.tokens.map((assignment) => (assignment.token === token ? change(assignment) : assignment))
    return { document, bytes: assignmentDocument.encode({ ...content, tokens }) }
  }

  /** The metadata of a token's snapshots, newest first. */
  async snapshots(token: string): Promise<readonly SnapshotMeta[]> {
    const store = this.world.snapshotStore()
    const { signal } = new AbortController()
    const { logger } = quietSeams
    await store.start({ cluster: 'test', node: 'reader', logger, signal })
    const refs = await store.list(token, { signal })
    await store.stop()
    return refs.map(({ meta }) => meta)
  }

  #document(name: string): Uint8Array | undefined {
    return new Map(this.world.coordination.documents('test')).get(name)?.bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.nodes.values()].map((kagami) => kagami.stop({ deadlineMs: 2000 })))
  }
}

/** A log that opens nothing: who uses it gets no further than to begin a copy. */
export function closedLog(cluster: TestCluster): CommitLog {
  const log = cluster.world.commitLog()
  log.open = (_address, { signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }))
  return log
}

/** The system's clock, with timers of any length worth speaking of that a test can keep from firing. */
export class HeldClock implements Clock {
  readonly #system = systemSeams().clock
  #due: (() => void)[] | undefined

  now(): number {
    return this.#system.now()
  }

  monotonicMs(): number {
    return this.#system.monotonicMs()
  }

  yield(): Promise<void> {
    return this.#system.yield()
  }

  timer(delayMs: number, callback: () => void): Timer {
    let cancelled = false
    const fire = (): void => {
      if (!cancelled) callback()
    }
    const timer = this.#system.timer(delayMs, () => {
      // Short ones, as between two attempts, are no wait that anybody would notice.
      if (this.#due === undefined || delayMs < 20) fire()
      else this.#due.push(fire)
    })
    return {
      cancel: () => {
        cancelled = true
        timer.cancel()
      },
    }
  }

  /** From now on what is due waits. */
  hold(): void {
    this.#due ??= []
  }

  release(): void {
    const due = this.#due ?? []
    this.#due = undefined
    for (const fire of due) fire()
  }
}

/** Polls a condition until it holds; fails with what it last said. */
export async function eventually<T>(
  condition: () => T | undefined | false,
  what: string,
  timeoutMs = 10_000,
): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const value = condition()
    if (value instanceof Promise) throw new TypeError(`${what}: a promise holds always`)
    if (value !== undefined && value !== false) return value
    if (performance.now() > until) throw new Error(`${what} did not happen within ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** An object that does as `target` does, but for `own`. */
export function delegate<T extends object>(target: T, own: Partial<Record<keyof T, unknown>>): T {
  return new Proxy(target, {
    get(_, key) {
      if (Object.hasOwn(own, key)) return own[key as keyof T]
      const value = Reflect.get(target, key) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
