/**
 * The calls of clients other than writes, from when they are made until they settle, whatever they say then: a call that never does is a violation of
 * liveness. Knows who has called what, and nothing of what becomes of it.
 */
import type { Trace } from '../kernel/trace.js'

export type CallKind = 'sync' | 'token' | 'alter' | 'handover' | 'remove'

export interface Call {
  readonly kind: CallKind
  /** What is called, on what, for people. */
  readonly text: string
  /** The label of the process that called. */
  readonly caller: string
  readonly startedMs: number
}

export class Calls {
  readonly #trace: Trace
  readonly #pending = new Set<Call>()

  constructor(trace: Trace) {
    this.#trace = trace
  }

  begin(kind: CallKind, text: string, caller: string): Call {
    const call = { kind, text, caller, startedMs: this.#trace.nowMs() }
    this.#pending.add(call)
    this.#trace.count(`calls.${kind}`)
    return call
  }

  settled(call: Call): void {
    this.#pending.delete(call)
  }

  /** A killed process's calls never settle, and nobody is left to be told. */
  abandon(caller: string): void {
    for (const call of this.#pending) if (call.caller === caller) this.#pending.delete(call)
  }

  pending(): Call[] {
    return [...this.#pending]
  }
}

export function toldOf({ text, caller, startedMs }: Call): string {
  return `${text} on ${caller}, called at ${startedMs.toFixed(1)} ms, is still pending`
}
