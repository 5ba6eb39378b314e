/**
 * Lists snapshots for the restores of one node, in no place among them: a store that does not answer must cost those nothing that can do without it. Bounds what
 * is asked at once, and tells a store that is silent from one that many ask. Never says what a listing means.
 */
import { orAborted, type Clock, type SnapshotRef, type SnapshotStore } from '../contract/index.js'
import { unlessStalled, type StallLimit } from './stall.js'
import { Semaphore } from './waiting.js'

/** Far more than restore at once, since those that hang cost little; but not all tokens of a node, since each may hold an open file or a connection. */
const AT_ONCE = 64

/** How long a listing may take that is renewed: its token holds a place among the restores, and the store has answered it before. */
const RENEWAL_MS = 500
/** The same, where the store has been silent for so long already. */
const LEAST_RENEWAL_MS = 20

export interface ListingLimit {
  readonly patienceMs: number
  readonly signal: AbortSignal
}

export class Listings {
  readonly #store: Pick<SnapshotStore, 'list'>
  readonly #clock: Clock
  readonly #turns = new Semaphore(AT_ONCE)
  /** Of those that wait for their turn: each is called when the store has answered anybody. */
  readonly #waiting = new Set<() => void>()
  /** Since when the store owes answers and gives none. */
  #silentSinceMs: number | undefined

  constructor(store: Pick<SnapshotStore, 'list'>, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * Waits for a turn and for the answer, both together for `patienceMs` in which the store answers nobody: so many tokens wait as long for a silent store as one does.
   * @throws KAGAMI_TIMEOUT (retryable), the signal's reason, and what the store throws
   */
  list(token: string, { patienceMs, signal }: ListingLimit): Promise<readonly SnapshotRef[]> {
    return unlessStalled(this.#limit(token, patienceMs, signal), async ({ signal, moved }) => {
      this.#waiting.add(moved)
      const release = await this.#turns.acquire(signal).finally(() => this.#waiting.delete(moved))
      try {
        return await this.#ask(token, signal)
      } finally {
        release()
      }
    })
  }

  /**
   * Lists once more, for whoever has had an answer before, and holds a place among the restores. So it takes no turn, and waits for half a second at most; if others
   * have waited for that long, it hardly waits.
   * @throws as `list` does
   */
  renew(token: string, signal: AbortSignal): Promise<readonly SnapshotRef[]> {
    const silentMs = this.#clock.monotonicMs() - (this.#silentSinceMs ?? this.#clock.monotonicMs())
    const limit = this.#limit(token, Math.max(LEAST_RENEWAL_MS, RENEWAL_MS - silentMs), signal)
    return unlessStalled(limit, ({ signal }) => this.#ask(token, signal))
  }

  async #ask(token: string, signal: AbortSignal): Promise<readonly SnapshotRef[]> {
    this.#silentSinceMs ??= this.#clock.monotonicMs()
    try {
      return await orAborted(this.#store.list(token, { signal }), signal)
    } finally {
      // What has ended because nobody waits for it any more is no answer.
      if (!signal.aborted) this.#answered()
    }
  }

  #answered(): void {
    this.#silentSinceMs = undefined
    for (const moved of this.#waiting) moved()
  }

  #limit(token: string, limitMs: number, signal: AbortSignal): StallLimit {
    return { clock: this.#clock, limitMs, signal, what: `listing the snapshots of '${token}'` }
  }
}
