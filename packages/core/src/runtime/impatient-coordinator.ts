/**
 * The coordinator as core uses it: a call that has no answer for the limit rejects as one of which nobody knows what became of it, so that it is looked at and made again.
 * What waits by its nature goes on: a campaign, and a watch.
 */
import {
  isKagamiError,
  KagamiError,
  listenForAbort,
  orAborted,
  type CallOptions,
  type Coordinator,
  type Leadership,
  type Session,
} from '../contract/index.js'
import { unlessTimeout, type LogPatience } from './impatient.js'
import { unlessStalled, type Movement } from './stall.js'

/** What has waited for so long is told. */
const TOLD_AFTER_MS = 10_000
/** A connection is given so long at least. */
const CONNECT_MS = 10_000
/** What was given up is asked again within this time, or was of no use any more. */
const ASKED_AGAIN_MS = 5_000

/** A question without an answer, whether it is asked now, was given up, or was refused because nobody could be reached. */
interface Asked {
  /** When it had the last answer, or was asked first. */
  sinceMs: number
  underWay: number
  /** Of the last that was given up. */
  givenUpMs: number
}

interface Call {
  readonly nr: number
  readonly moved: () => void
}

interface CallLimit {
  readonly signal: AbortSignal
  readonly limitMs: number
}

export class ImpatientCoordinator {
  readonly #coordinator: Pick<Coordinator, 'connect'>
  readonly #patience: LogPatience
  readonly #asked = new Map<string, Asked>()
  /** What is under way, in the order in which it was asked. */
  readonly #underWay = new Set<Call>()
  #calls = 0

  constructor(coordinator: Pick<Coordinator, 'connect'>, patience: LogPatience) {
    this.#coordinator = coordinator
    this.#patience = patience
  }

  /** What has waited longest for an answer, where that is long, for people. That it is asked again is no answer. */
  get unanswered(): string | undefined {
    const nowMs = this.#patience.clock.monotonicMs()
    let longest = { what: '', ms: 0 }
    for (const [what, asked] of this.#asked) {
      const ms = nowMs - asked.sinceMs
      if (ms > longest.ms && isAsked(asked, nowMs)) longest = { what, ms }
    }
    if (longest.ms < TOLD_AFTER_MS) return undefined
    return `the coordinator has not answered for ${Math.round(longest.ms)} ms: ${longest.what}`
  }

  /**
   * A session whose calls are answered in time. One that is opened after all, when nobody waits for it any more, is closed.
   * @throws what `Coordinator.connect` throws, KAGAMI_COORDINATOR_UNAVAILABLE (retryable), the signal's reason
   */
  async connect({ signal }: CallOptions): Promise<Session> {
    let connecting: Promise<Session> | undefined
    const limit = { signal, limitMs: Math.max(this.#patience.limitMs, CONNECT_MS) }
    try {
      return this.#impatient(
        await this.#answered('connecting', limit, (options) => (connecting = this.#coordinator.connect(options))),
      )
    } catch (error) {
      connecting?.then((late) => late.close()).catch(() => undefined)
      throw error
    }
  }

  #impatient(session: Session): Session {
    const { id, timeoutMs, signal } = session
    // A coordinator that is in contact may take as long as it may be out of it.
    const limitMs = Math.max(this.#patience.limitMs, timeoutMs)
    return {
      id,
      timeoutMs,
      signal,
      watchLease: (options) => session.watchLease(options),
      join: (record, { signal }) =>
        this.#answered('joining', { signal, limitMs }, (options) => session.join(record, options)),
      update: (record, { signal }) =>
        this.#answered('changing its record', { signal, limitMs }, (options) => session.update(record, options)),
      watchMembers: (options) => session.watchMembers(options),
      campaign: async (options) => this.#leadership(await session.campaign(options), session, limitMs),
      read: (name, { signal }) =>
        this.#answered(`reading ${name}`, { signal, limitMs }, (options) => session.read(name, options)),
      write: (name, bytes, expected, { signal }) =>
        this.#answered(`writing ${name}`, { signal, limitMs }, (options) =>
          session.write(name, bytes, expected, options),
        ),
      watch: (prefix, options) => session.watch(prefix, options),
      close: () => this.#close(session, limitMs),
    }
  }

  /** An election that can't be given up ends with its session: else this node, and every other, would campaign against it for ever. */
  #leadership(won: Leadership, session: Session, limitMs: number): Leadership {
    const { epoch, signal } = won
    const resign = async (): Promise<void> => {
      if (!(await this.#ended('giving up the election', limitMs, () => won.resign())))
        await this.#close(session, limitMs)
    }
    return { epoch, signal, resign }
  }

  async #close(session: Session, limitMs: number): Promise<void> {
    await this.#ended('closing the session', limitMs, () => session.close())
  }

  /** Whoever gives up does not wait for an adapter that heeds no signal. */
  async #answered<T>(what: string, limit: CallLimit, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const { clock } = this.#patience
    const { signal } = limit
    signal.throwIfAborted()
    const settled = this.#ask(what)
    const inTurn = (movement: Movement): Promise<T> => this.#inTurn(movement, call)
    try {
      const answer = await orAborted(unlessStalled({ clock, ...limit, what }, inTurn), signal)
      settled(true)
      return answer
    } catch (error) {
      const told = isKagamiError(error, 'KAGAMI_TIMEOUT') ? unanswered(error) : error
      settled(!isKagamiError(told, 'KAGAMI_COORDINATOR_UNAVAILABLE') && !signal.aborted)
      throw told
    }
  }

  /**
   * An answer to what was asked before shows that this has not had its turn yet: hundreds of documents are written at once, and an adapter may write them one by one. An
   * answer to what was asked later shows nothing.
   */
  async #inTurn<T>({ signal, moved }: Movement, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const asked = { nr: this.#calls++, moved }
    this.#underWay.add(asked)
    const over = (): boolean => this.#underWay.delete(asked)
    const unlisten = listenForAbort(signal, over)
    try {
      return await call({ signal })
    } finally {
      unlisten()
      if (over()) for (const { nr, moved } of this.#underWay) if (nr > asked.nr) moved()
    }
  }

  /** Gives what is to be called once it has an answer, or was given up. */
  #ask(what: string): (answered: boolean) => void {
    const { clock } = this.#patience
    const nowMs = clock.monotonicMs()
    const known = this.#asked.get(what)
    const asked =
      known !== undefined && isAsked(known, nowMs) ? known : { sinceMs: nowMs, underWay: 0, givenUpMs: -Infinity }
    asked.underWay += 1
    this.#asked.set(what, asked)
    return (answered) => {
      asked.underWay -= 1
      asked[answered ? 'sinceMs' : 'givenUpMs'] = clock.monotonicMs()
      if (answered && asked.underWay === 0) this.#asked.delete(what)
    }
  }

  /** False where it was not answered: what ends is waited for no longer either way, and only told of. */
  async #ended(what: string, limitMs: number, call: () => Promise<void>): Promise<boolean> {
    const { signal } = new AbortController()
    const { clock, logger } = this.#patience
    const settled = this.#ask(what)
    try {
      await unlessStalled({ clock, limitMs, signal, what }, call)
      settled(true)
      return true
    } catch (error) {
      settled(false)
      unlessTimeout(logger)(error)
      return false
    }
  }
}

function isAsked({ underWay, givenUpMs }: Asked, nowMs: number): boolean {
  return underWay > 0 || nowMs - givenUpMs < ASKED_AGAIN_MS
}

/** Whether a call has failed because it had no answer, though its session lives: others may have one. */
export function isUnanswered(error: unknown): boolean {
  return isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE') && isKagamiError(error.cause, 'KAGAMI_TIMEOUT')
}

function unanswered(cause: KagamiError): KagamiError {
  return new KagamiError(
    'KAGAMI_COORDINATOR_UNAVAILABLE',
    `the coordinator did not answer: ${cause.message}. It may have been done all the same`,
    { retryable: true, cause },
  )
}
