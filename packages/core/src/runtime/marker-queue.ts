/**
 * Linearizable reads: `sync()` waits until this copy has read a marker whose append began after the call. Callers that
 * come while a marker is under way share the next one. Markers change no state, so any copy may write them.
 */
import {
  isKagamiError,
  type Clock,
  type KagamiError,
  type Offset,
  type Position,
  type Random,
  type TokenLog,
} from '../contract/index.js'
import { encodeFrame } from '../engine/frame.js'
import { appendWithin } from './append.js'
import { overloaded } from './copy-errors.js'
import { LogTrouble } from './log-trouble.js'
import type { Limits } from './options.js'
import { backoffMs, type Waiting } from './waiting.js'

interface Marker {
  readonly nonce: bigint
  readonly bytes: Uint8Array
  /** What was known of the log before it was first appended. */
  readonly known: Position
  readonly waiters: Set<Waiter>
  /** Before it is sent again. */
  timer: { cancel(): void } | undefined
}

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface MarkerContext {
  readonly token: string
  readonly clock: Clock
  readonly random: Random
  readonly limits: Pick<Limits, 'retryMs' | 'appendTimeoutMs' | 'maxWaiting'>
  log(): TokenLog | undefined
  incarnation(): number
  /** The offset that the read loop reads next. */
  readTo(): Offset
  /** What a call is refused with because the read loop has heard nothing for too long; undefined: it hears. */
  unheard(): KagamiError | undefined
  /** The first position that the log is not known to have held. */
  known(): Position
  /** The log took a marker below what this copy had read when its append began: it has lost what was there. */
  onLostTail(offset: Offset): void
  readonly signal: AbortSignal
}

export class MarkerQueue {
  readonly #context: MarkerContext
  readonly #trouble: LogTrouble
  #next = new Set<Waiter>()
  #underWay: Marker | undefined
  /** While someone waits for the log to be opened. */
  #look: { cancel(): void } | undefined

  constructor(context: MarkerContext) {
    this.#context = context
    this.#trouble = new LogTrouble(context.token, context.clock, context.limits.appendTimeoutMs)
  }

  /** Why markers can't be appended now, if someone waits for one. */
  get trouble(): KagamiError | undefined {
    return this.#trouble.error
  }

  /** Reached when a marker that is appended from now on has been read. @throws KAGAMI_OVERLOADED */
  wait(): Waiting {
    const { token, limits } = this.#context
    if (this.#next.size >= limits.maxWaiting) throw overloaded(token, 'sync', limits.maxWaiting)
    let waiter: Waiter | undefined
    const reached = new Promise<void>((resolve, reject) => {
      waiter = { resolve, reject }
      this.#next.add(waiter)
      this.pump()
    })
    const forget = (): void => {
      if (waiter === undefined) return
      this.#next.delete(waiter)
      this.#underWay?.waiters.delete(waiter)
    }
    return { reached, forget }
  }

  /** What the log was known to hold before this marker; undefined: nobody waits for it. */
  known(nonce: bigint): Position | undefined {
    return this.#underWay?.nonce === nonce ? this.#underWay.known : undefined
  }

  /** The loop has read a marker. */
  read(nonce: bigint): void {
    if (this.#underWay?.nonce !== nonce) return
    const waiters = this.#takeWaiters()
    this.#trouble.over()
    for (const waiter of waiters) waiter.resolve()
    this.pump()
  }

  /** The copy was restored, and may have jumped over the marker: everyone waits for a new one. */
  jumped(): void {
    if (this.#underWay === undefined) return
    this.#next = new Set([...this.#takeWaiters(), ...this.#next])
    this.pump()
  }

  fail(error: KagamiError): void {
    const waiters = [...this.#takeWaiters(), ...this.#next]
    this.#next = new Set()
    this.#look?.cancel()
    this.#look = undefined
    this.#trouble.over()
    for (const waiter of waiters) waiter.reject(error)
  }

  /** Sends a marker if someone waits and the log is open. */
  pump(): void {
    if (this.#underWay !== undefined || this.#next.size === 0) return
    const log = this.#context.log()
    if (log === undefined) return this.#awaitLog()
    const { token, clock, random } = this.#context
    const nonce = random.uint64()
    const incarnation = this.#context.incarnation()
    const bytes = encodeFrame({ kind: 'marker', token, incarnation, nonce, timeMs: clock.now() })
    this.#underWay = { nonce, bytes, known: this.#context.known(), waiters: this.#next, timer: undefined }
    this.#next = new Set()
    this.#append(log, this.#underWay, 0)
  }

  /** It is pumped when reading begins. Where the log never opens, somebody must look whether to wait for it any longer. */
  #awaitLog(): void {
    const unheard = this.#context.unheard()
    if (unheard !== undefined) return this.fail(unheard)
    const { clock, limits, signal } = this.#context
    this.#look ??= clock.timer(limits.retryMs.longest, () => {
      this.#look = undefined
      if (!signal.aborted) this.pump()
    })
  }

  #append(log: TokenLog, marker: Marker, failures: number): void {
    const { clock, random, limits, signal } = this.#context
    const unheard = this.#context.unheard()
    if (unheard !== undefined) return this.fail(unheard)
    const readTo = this.#context.readTo()
    const isOver = (): boolean => signal.aborted || this.#underWay !== marker
    const onAppended = (offset: Offset): void => {
      if (offset < readTo) return this.#context.onLostTail(offset)
      // The log may lose it before it is read. A reader that is far behind gets a few copies to read.
      if (!isOver()) this.#appendLater(marker, limits.appendTimeoutMs, 0)
    }
    appendWithin(limits.appendTimeoutMs, log, marker.bytes, clock, signal).then(onAppended, (error: unknown) => {
      if (isOver()) return
      if (isKagamiError(error) && !error.retryable) return this.fail(error)
      this.#trouble.failed(error)
      const refusal = this.#trouble.refusal()
      if (refusal !== undefined) return this.fail(refusal)
      this.#appendLater(marker, backoffMs(failures, limits.retryMs, random), failures + 1)
    })
  }

  /** Sends it again, until it is read: a second copy of a marker is harmless. */
  #appendLater(marker: Marker, delayMs: number, failures: number): void {
    marker.timer = this.#context.clock.timer(delayMs, () => {
      const log = this.#context.log()
      if (!this.#context.signal.aborted && this.#underWay === marker && log !== undefined)
        this.#append(log, marker, failures)
    })
  }

  /** Those who wait for the marker that is under way, which is over. */
  #takeWaiters(): Iterable<Waiter> {
    const marker = this.#underWay
    marker?.timer?.cancel()
    this.#underWay = undefined
    return marker?.waiters ?? []
  }
}
