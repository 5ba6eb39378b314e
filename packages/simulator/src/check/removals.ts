/**
 * Who has asked for the end of what: an incarnation that holds entries may be ended only if somebody has asked for it since it began. Knows what clients have
 * called and when incarnations began; reads no log.
 */
import type { Trace } from '../kernel/trace.js'

export class Removals {
  readonly #trace: Trace
  /** By token: until when a removal that was asked for may still be written down. */
  readonly #askedUntilMs = new Map<string, number>()
  /** By token and incarnation. A late copy of an open frame begins nothing. */
  readonly #beganMs = new Map<string, Map<number, number>>()

  constructor(trace: Trace) {
    this.#trace = trace
  }

  /** A client asks for a removal, and gives up after `forMs`. */
  asked(token: string, forMs: number): void {
    const untilMs = this.#trace.nowMs() + forMs
    this.#askedUntilMs.set(token, Math.max(untilMs, this.#askedUntilMs.get(token) ?? 0))
  }

  /** An open frame counts. */
  began(token: string, incarnation: number): void {
    const known = this.#beganMs.get(token) ?? new Map<number, number>()
    this.#beganMs.set(token, known)
    if (!known.has(incarnation)) known.set(incarnation, this.#trace.nowMs())
  }

  /** A frame that ends an incarnation counts. */
  ended(token: string, incarnation: number, entries: number): void {
    if (entries === 0) return
    this.#trace.count('removals')
    const beganMs = this.#beganMs.get(token)?.get(incarnation) ?? 0
    if ((this.#askedUntilMs.get(token) ?? -1) >= beganMs) return
    this.#trace.violation(
      'S1',
      `${token}, incarnation ${incarnation}, is ended with ${entries} entries, and nobody has asked for that since it began`,
    )
  }

  /** The token's incarnations may begin again. */
  forget(token: string): void {
    this.#beganMs.delete(token)
  }
}
