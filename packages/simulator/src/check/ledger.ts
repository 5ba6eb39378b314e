/** What clients asked for and what they were told: the history that S1 and S5 are judged by. */
import { describe } from '../kernel/trace.js'
import type { Trace } from '../kernel/trace.js'
import type { Position } from '@kagami/core/contract'

export type Outcome = 'pending' | 'acknowledged' | 'rejected' | 'indeterminate' | 'applied-and-failed' | 'nobody-left'

export interface Operation {
  readonly id: number
  readonly token: string
  /** The label of the process that called. */
  readonly caller: string
  readonly startedMs: number
  outcome: Outcome
  code: string | undefined
}

export class Ledger {
  readonly operations: Operation[] = []
  readonly #trace: Trace

  constructor(trace: Trace) {
    this.#trace = trace
  }

  begin(token: string, caller: string): Operation {
    const id = this.operations.length
    const operation: Operation = {
      id,
      token,
      caller,
      startedMs: this.#trace.nowMs(),
      outcome: 'pending',
      code: undefined,
    }
    this.operations.push(operation)
    this.#trace.count('operations')
    return operation
  }

  get(id: number): Operation | undefined {
    return this.operations[id]
  }

  settle(operation: Operation, outcome: Outcome, error?: unknown, position?: Position): void {
    operation.outcome = outcome
    operation.code = error === undefined ? undefined : describe(error).split(':')[0]
    this.#trace.count(outcome)
    const how = position
      ? ` at ${position.incarnation}/${position.index}`
      : error === undefined
        ? ''
        : `: ${operation.code}`
    this.#trace.add(operation.caller, `op ${operation.id} on ${operation.token} ${outcome}${how}`)
  }

  /** A killed process's calls never settle, and nobody is left to be told. */
  abandon(caller: string): void {
    for (const operation of this.operations) {
      if (operation.caller === caller && operation.outcome === 'pending') operation.outcome = 'nobody-left'
    }
  }

  pending(): Operation[] {
    return this.operations.filter((operation) => operation.outcome === 'pending')
  }
}

/** An operation as an entry's bytes. */
export function entryOf(id: number): Uint8Array {
  return Buffer.from(`op ${id}`)
}

/** The operation that an entry is. */
export function operationOf(bytes: Uint8Array): number {
  const text = Buffer.from(bytes).toString()
  return text.startsWith('op ') ? Number(text.slice(3)) : -1
}
