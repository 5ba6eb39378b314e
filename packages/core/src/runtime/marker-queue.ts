/**
 * Linearizable reads: `sync()` waits until this copy has read a marker whose append began after the call. Callers that
 * come while a marker is under way share the next one. Markers change no state, so any copy may write them.
 */
import type { KagamiError, Random, TokenLog } from '../contract/index.js'
import { encodeFrame } from '../engine/frame.js'
import type { Clock } from '../contract/index.js'
import { backoffMs } from './waiting.js'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface MarkerContext {
  readonly token: string
  readonly clock: Clock
  readonly random: Random
  readonly retryMs: { readonly first: number; readonly longest: number }
  log(): TokenLog | undefined
  incarnation(): number
  readonly signal: AbortSignal
}

export class MarkerQueue {
  readonly #context: MarkerContext
  #next: Waiter[] = []
  #underWay: { readonly nonce: bigint; readonly waiters: Waiter[] } | undefined

  constructor(context: MarkerContext) {
    this.#context = context
  }

  /** Resolves when a marker that is appended from now on has been read. */
  wait(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#next.push({ resolve, reject })
      this.pump()
    })
  }

  /** The loop has read a marker. */
  read(nonce: bigint): void {
    if (this.#underWay?.nonce !== nonce) return
    const { waiters } = this.#underWay
    this.#underWay = undefined
    for (const waiter of waiters) waiter.resolve()
    this.pump()
  }

  /** The copy was restored, and may have jumped over the marker: everyone waits for a new one. */
  jumped(): void {
    if (this.#underWay === undefined) return
    this.#next.unshift(...this.#underWay.waiters)
    this.#underWay = undefined
    this.pump()
  }

  fail(error: KagamiError): void {
    const waiters = [...(this.#underWay?.waiters ?? []), ...this.#next]
    this.#underWay = undefined
    this.#next = []
    for (const waiter of waiters) waiter.reject(error)
  }

  /** Sends a marker if someone waits and the log is open. */
  pump(): void {
    const log = this.#context.log()
    if (log === undefined || this.#underWay !== undefined || this.#next.length === 0) return
    const { token, clock, random } = this.#context
    const marker = { nonce: random.uint64(), waiters: this.#next }
    this.#underWay = marker
    this.#next = []
    this.#append(
      log,
      marker.nonce,
      encodeFrame({
        kind: 'marker',
        token,
        incarnation: this.#context.incarnation(),
        nonce: marker.nonce,
        timeMs: clock.now(),
      }),
      0,
    )
  }

  #append(log: TokenLog, nonce: bigint, bytes: Uint8Array, failures: number): void {
    const { clock, random, retryMs, signal } = this.#context
    log.append(bytes, { signal }).catch(() => {
      if (signal.aborted || this.#underWay?.nonce !== nonce) return
      // Sent again until it is read: a second copy of a marker is harmless.
      clock.timer(backoffMs(failures, retryMs, random), () => {
        const current = this.#context.log()
        if (!signal.aborted && this.#underWay?.nonce === nonce && current !== undefined) {
          this.#append(current, nonce, bytes, failures + 1)
        }
      })
    })
  }
}
