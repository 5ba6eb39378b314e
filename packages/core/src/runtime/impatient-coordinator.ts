/**
 * The coordinator as core uses it: a call that has no answer for the limit rejects as one of which nobody knows what became of it, so that it is looked at and made again.
 * What waits by its nature goes on: a campaign, and a watch.
 */
import {
  isKagamiError,
  KagamiError,
  type CallOptions,
  type Coordinator,
  type Leadership,
  type Session,
} from '../contract/index.js'
import { unlessTimeout, type LogPatience } from './impatient.js'
import { unlessStalled } from './stall.js'
import { orAborted } from './waiting.js'

/** What has waited for so long is told. */
const TOLD_AFTER_MS = 10_000

interface Asked {
  readonly what: string
  readonly sinceMs: number
}

export class ImpatientCoordinator {
  readonly #coordinator: Pick<Coordinator, 'connect'>
  readonly #patience: LogPatience
  /** In the order in which they were made. */
  readonly #asked = new Set<Asked>()

  constructor(coordinator: Pick<Coordinator, 'connect'>, patience: LogPatience) {
    this.#coordinator = coordinator
    this.#patience = patience
  }

  /** The call that has waited longest, where that is long, for people. */
  get unanswered(): string | undefined {
    const [oldest] = this.#asked
    if (oldest === undefined) return undefined
    const waitedMs = this.#patience.clock.monotonicMs() - oldest.sinceMs
    if (waitedMs < Math.min(TOLD_AFTER_MS, this.#patience.limitMs)) return undefined
    return `the coordinator has not answered for ${Math.round(waitedMs)} ms: ${oldest.what}`
  }

  /**
   * A session whose calls are answered in time. One that is opened after all, when nobody waits for it any more, is closed.
   * @throws what `Coordinator.connect` throws, KAGAMI_COORDINATOR_UNAVAILABLE (retryable), the signal's reason
   */
  async connect({ signal }: CallOptions): Promise<Session> {
    let connecting: Promise<Session> | undefined
    try {
      return this.#impatient(
        await this.#answered('connecting', signal, (options) => (connecting = this.#coordinator.connect(options))),
      )
    } catch (error) {
      connecting?.then((late) => late.close()).catch(() => undefined)
      throw error
    }
  }

  #impatient(session: Session): Session {
    const { id, timeoutMs, signal } = session
    return {
      id,
      timeoutMs,
      signal,
      watchLease: (options) => session.watchLease(options),
      join: (record, { signal }) => this.#answered('joining', signal, (options) => session.join(record, options)),
      update: (record, { signal }) =>
        this.#answered('changing its record', signal, (options) => session.update(record, options)),
      watchMembers: (options) => session.watchMembers(options),
      campaign: async (options) => this.#leadership(await session.campaign(options)),
      read: (name, { signal }) => this.#answered(`reading ${name}`, signal, (options) => session.read(name, options)),
      write: (name, bytes, expected, { signal }) =>
        this.#answered(`writing ${name}`, signal, (options) => session.write(name, bytes, expected, options)),
      watch: (prefix, options) => session.watch(prefix, options),
      close: () => this.#ended('closing the session', () => session.close()),
    }
  }

  #leadership(won: Leadership): Leadership {
    const { epoch, signal } = won
    return { epoch, signal, resign: () => this.#ended('giving up the election', () => won.resign()) }
  }

  /** Whoever gives up does not wait for an adapter that heeds no signal. */
  async #answered<T>(what: string, signal: AbortSignal, call: (options: CallOptions) => Promise<T>): Promise<T> {
    const { clock, limitMs } = this.#patience
    const asked = { what, sinceMs: clock.monotonicMs() }
    this.#asked.add(asked)
    try {
      return await orAborted(unlessStalled({ clock, limitMs, signal, what }, call), signal)
    } catch (error) {
      throw isKagamiError(error, 'KAGAMI_TIMEOUT') ? unanswered(error) : error
    } finally {
      this.#asked.delete(asked)
    }
  }

  /** What ends is not waited for any longer either way: it is only told of. */
  async #ended(what: string, call: () => Promise<void>): Promise<void> {
    const { signal } = new AbortController()
    const { clock, limitMs, logger } = this.#patience
    await unlessStalled({ clock, limitMs, signal, what }, call).catch(unlessTimeout(logger))
  }
}

function unanswered(cause: KagamiError): KagamiError {
  return new KagamiError(
    'KAGAMI_COORDINATOR_UNAVAILABLE',
    `the coordinator did not answer: ${cause.message}. It may have been done all the same`,
    { retryable: true, cause },
  )
}
