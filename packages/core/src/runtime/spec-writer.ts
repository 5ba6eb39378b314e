/**
 * Changes specs in the coordinator's documents by compare-and-set. What is asked for while a document is being written waits, and goes
 * along with its next write: so thousands of tokens that are created at once don't race each other for a few documents.
 */
import {
  isKagamiError,
  listenForAbort,
  type Document,
  type KagamiError,
  type Seams,
  type Session,
} from '../contract/index.js'
import { bucketOf, specDocument, type Spec, type SpecDocument } from '../engine/documents.js'
import { backoffMs, sleep } from './waiting.js'

export interface SpecWriterContext {
  readonly clock: Seams['clock']
  readonly random: Seams['random']
  session(): Session
}

/** What is to become of a spec that stands there, or of none. Undefined, or the same one, writes nothing. */
export type SpecChange = (current: Spec | undefined) => Spec | undefined

/** Gives what the caller is to be told, or throws it. */
type Outcome = () => Spec | undefined

interface Asked {
  readonly token: string
  readonly change: SpecChange
  readonly settle: (outcome: Outcome) => void
  readonly atMs: number
  /** Whoever asked has given up, or has been told. */
  over: boolean
}

/** A write, and how everything ends that was asked for if it has landed. */
interface Attempt {
  readonly nonce: string
  readonly outcomes: ReadonlyMap<Asked, Outcome>
}

/** Of so many writes a document keeps that they have landed. */
const WRITES_KEPT = 32

/** So long a change waits for nodes to write a document anew whose bytes are damaged. */
const UNREADABLE_MS = 10_000

export interface SpecWriterOptions {
  /**
   * A document whose bytes are damaged counts as empty: for who knows what belongs there, and not for who asks for a change of what nobody can see.
   * @default false
   */
  readonly anew?: boolean
}

interface Bucket {
  waiting: Asked[]
  /** Ends what is under way when nobody waits for it any more. */
  working: AbortController | undefined
  batch: readonly Asked[]
  /** When the document was first found damaged, since it could be read last. */
  unreadableSinceMs: number | undefined
}

export class SpecWriter {
  readonly #context: SpecWriterContext
  readonly #anew: boolean
  readonly #buckets = new Map<string, Bucket>()

  constructor(context: SpecWriterContext, { anew = false }: SpecWriterOptions = {}) {
    this.#context = context
    this.#anew = anew
  }

  /**
   * Resolves with what `change` gave for a state of the document that was read after the call, once that is written. It may be asked several times.
   * @throws what `change` throws, the signal's reason, and the coordinator's errors that last
   */
  update(token: string, signal: AbortSignal, change: SpecChange): Promise<Spec | undefined> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error)
      const name = bucketOf(token)
      const bucket = this.#buckets.get(name) ?? {
        waiting: [],
        working: undefined,
        batch: [],
        unreadableSinceMs: undefined,
      }
      this.#buckets.set(name, bucket)
      const asked: Asked = {
        token,
        change,
        atMs: this.#context.clock.monotonicMs(),
        over: false,
        settle: (outcome) => {
          if (asked.over) return
          asked.over = true
          unlisten()
          try {
            resolve(outcome())
          } catch (error) {
            reject(error)
          }
          if (bucket.batch.every(({ over }) => over)) bucket.working?.abort()
        },
      }
      const unlisten = listenForAbort(signal, () => asked.settle(thrower(signal.reason)))
      bucket.waiting.push(asked)
      if (bucket.working === undefined) void this.#work(name, bucket)
    })
  }

  /** Takes what waits, batch after batch, until nothing does. */
  async #work(name: string, bucket: Bucket): Promise<void> {
    while (bucket.waiting.length > 0) {
      bucket.batch = bucket.waiting.splice(0).filter(({ over }) => !over)
      bucket.working = new AbortController()
      await this.#settle(name, bucket, bucket.batch, bucket.working.signal)
    }
    this.#buckets.delete(name)
  }

  /** Tells all of a batch how theirs has ended. Never rejects. `tried` was written without an answer. */
  async #settle(
    name: string,
    bucket: Bucket,
    batch: readonly Asked[],
    signal: AbortSignal,
    tried?: Attempt,
  ): Promise<void> {
    const { clock, random } = this.#context
    for (let failures = 0; batch.some(({ over }) => !over); failures++) {
      try {
        const session = this.#context.session()
        const document = await session.read(`specs/${name}`, { signal })
        const { tokens, writes = [] } = this.#contentOf(document)
        bucket.unreadableSinceMs = undefined
        if (tried !== undefined && writes.includes(tried.nonce))
          for (const [asked, outcome] of tried.outcomes) asked.settle(outcome)
        const specs = new Map(tokens.map((spec) => [spec.token, spec]))
        const { changed, outcomes } = attempt(
          batch.filter(({ over }) => !over),
          specs,
        )
        if (changed) {
          const nonce = random.uint64().toString(16)
          tried = { nonce, outcomes }
          const kept = [...writes, nonce].slice(-WRITES_KEPT)
          const bytes = specDocument.encode({ tokens: [...specs.values()], writes: kept })
          await session.write(`specs/${name}`, bytes, document?.version, { signal })
        }
        // Not before the write: what one is told may rest on what is written for another.
        for (const [asked, outcome] of outcomes) asked.settle(outcome)
      } catch (error) {
        const unreadable = isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')
        if (unreadable) this.#refuseOverdue(bucket, batch, error)
        const open = batch.filter(({ over }) => !over)
        if (unreadable || (isKagamiError(error) && !lasts(error))) {
          await sleep(clock, backoffMs(failures, { first: 5, longest: 500 }, random), signal).catch(() => undefined)
        } else if (open.length > 1) {
          // It may be what one of them wants that can't be written.
          for (const asked of open) await this.#settle(name, bucket, [asked], signal, tried)
        } else for (const asked of open) asked.settle(thrower(error))
      }
    }
  }

  /**
   * Refuses those that have waited long enough for a damaged document: whoever knows what belongs there is writing it anew. Each has a wait of its own, however
   * many there are, and since none had a chance before the damage was found, none begins earlier.
   */
  #refuseOverdue(bucket: Bucket, batch: readonly Asked[], error: unknown): void {
    const nowMs = this.#context.clock.monotonicMs()
    const sinceMs = (bucket.unreadableSinceMs ??= nowMs)
    for (const asked of batch) if (nowMs - Math.max(asked.atMs, sinceMs) >= UNREADABLE_MS) asked.settle(thrower(error))
  }

  #contentOf(document: Document | undefined): SpecDocument {
    if (document === undefined) return { tokens: [] }
    try {
      return specDocument.decode(document.bytes, document.name)
    } catch (error) {
      if (this.#anew && isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) return { tokens: [] }
      throw error
    }
  }
}

/** Asks all changes, one after another, each for what those before it have made of `specs`. */
function attempt(
  batch: readonly Asked[],
  specs: Map<string, Spec>,
): { readonly changed: boolean; readonly outcomes: ReadonlyMap<Asked, Outcome> } {
  let changed = false
  const outcomes = new Map<Asked, Outcome>()
  for (const asked of batch) {
    const current = specs.get(asked.token)
    try {
      const next = asked.change(current)
      outcomes.set(asked, () => next)
      if (next === undefined || next === current) continue
      specs.set(asked.token, next)
      changed = true
    } catch (error) {
      outcomes.set(asked, thrower(error))
    }
  }
  return { changed, outcomes }
}

function thrower(error: unknown): Outcome {
  return () => {
    throw error
  }
}

/** Whether asking again is of no use: the caller must hear of it. A full disk lasts until somebody makes room; after a lost session there is another one. */
function lasts(error: KagamiError): boolean {
  if (error.code === 'KAGAMI_VERSION_CONFLICT' || error.code === 'KAGAMI_SESSION_LOST') return false
  return !error.retryable || error.code === 'KAGAMI_STORE_FULL'
}
