/** What the suite of state machines is given to work with. */
import type { Entry, StateMachine } from '@kagami/core/contract'

/** What the cases work on. */
export interface StateMachineWorld<R = unknown, C = unknown> {
  make(): StateMachine<R, C>
  /** Applies the entries from `from` up to, not including, `to`, and gives what `apply` returned. */
  apply(machine: StateMachine<R, C>, from: number, to: number): readonly R[]
  digest(machine: StateMachine<R, C>): Promise<string>
  entry(i: number): Entry<C>
  readonly count: number
}
