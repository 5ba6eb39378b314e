/**
 * A session's heart: beats, and the lease that lapses when a beat has not got through for too long. By the monotonic clock of
 * this process alone, and counted from when the last contact began, so it lapses before anybody else lets the session end.
 */
import type { LeaseState } from '@kagami/core/contract'
import { Pulse } from './pulse.js'
import type { SessionFiles } from './session-files.js'

const beatsPerTimeout = 5

/** Sooner than the timeout, because timers are late. */
const earlyMs = 20

export class Lease {
  /** Beats when the state changes. */
  readonly changes = new Pulse()
  readonly #files: SessionFiles
  readonly #id: string
  readonly #timeoutMs: number
  readonly #lost: () => void
  #beat = 1
  #deadline: number
  #state: LeaseState = 'held'
  #beating: Promise<void> | undefined
  #beatTimer: NodeJS.Timeout | undefined
  #leaseTimer: NodeJS.Timeout | undefined
  #ended = false

  /** `contactAt`: when the session's creation began. `lost` is called, once, when the session turns out to be dead. */
  constructor(files: SessionFiles, id: string, timeoutMs: number, contactAt: number, lost: () => void) {
    this.#files = files
    this.#id = id
    this.#timeoutMs = timeoutMs
    this.#lost = lost
    this.#deadline = contactAt + timeoutMs - earlyMs
    this.#watchDeadline()
    this.#schedule()
  }

  get state(): LeaseState {
    // A process that was frozen runs other things before its timers.
    if (this.#state === 'held' && performance.now() >= this.#deadline) this.#set('suspended')
    return this.#state
  }

  /** Resolves when a contact has been tried since the call. */
  async touch(): Promise<void> {
    await this.#beating
    await this.#contact()
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#beatTimer)
    clearTimeout(this.#leaseTimer)
    this.changes.beat()
  }

  #schedule(): void {
    if (this.#ended) return
    this.#beatTimer = setTimeout(
      () => void this.#contact().then(() => this.#schedule()),
      this.#timeoutMs / beatsPerTimeout,
    )
  }

  #contact(): Promise<void> {
    this.#beating ??= this.#tryContact().finally(() => {
      this.#beating = undefined
    })
    return this.#beating
  }

  async #tryContact(): Promise<void> {
    if (this.#ended) return
    const began = performance.now()
    let alive: boolean
    try {
      alive = await this.#files.beat(this.#id, this.#beat)
    } catch {
      // No contact. The deadline passes, unless a later beat gets through.
      return
    }
    if (this.#ended) return
    if (!alive) {
      this.#set('suspended')
      this.#lost()
      return
    }
    this.#beat++
    this.#deadline = began + this.#timeoutMs - earlyMs
    if (performance.now() >= this.#deadline) return
    this.#set('held')
    this.#watchDeadline()
  }

  #watchDeadline(): void {
    clearTimeout(this.#leaseTimer)
    if (this.#ended || this.state === 'suspended') return
    // A timer may come a little too soon, and is then set again.
    const waitMs = Math.max(1, Math.ceil(this.#deadline - performance.now()))
    this.#leaseTimer = setTimeout(() => this.#watchDeadline(), waitMs)
  }

  #set(state: LeaseState): void {
    if (this.#state === state) return
    this.#state = state
    this.changes.beat()
  }
}
