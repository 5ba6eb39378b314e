/** What a node says of itself and of its copies, as plain JSON. */
import type { Kagami, Role } from 'kagami'
import type { Command, Outcome } from '../state/command.js'

export interface NodeStatus {
  readonly node: string
  readonly status: string
  readonly controller: boolean
  readonly problems: readonly string[]
  readonly members: readonly string[]
  readonly copies: readonly CopyStatus[]
}

export interface CopyStatus {
  readonly token: string
  readonly role: Role
  readonly phase: string
  readonly incarnation: number
  readonly epoch: number
  /** Entries applied. */
  readonly applied: number
  /** Entries behind, as far as is known; null while nobody here knows. */
  readonly lag: number | null
  readonly caughtUp: boolean
  /** Entries that the newest verified snapshot holds; null before the first. */
  readonly snapshot: number | null
}

export function statusOf(kagami: Kagami<Outcome, Command>): NodeStatus {
  const { node, status, controller, problems, copies } = kagami.health()
  return {
    node,
    status,
    controller,
    problems,
    members: kagami.members().map(({ id }) => id),
    copies: copies.map(({ token, role, phase, epoch, next, lag, snapshot }) => ({
      token,
      role,
      phase,
      incarnation: next?.incarnation ?? 0,
      epoch,
      applied: next?.index ?? 0,
      lag: Number.isFinite(lag.entries) ? lag.entries : null,
      caughtUp: lag.caughtUp,
      snapshot: snapshot?.nextIndex ?? null,
    })),
  }
}
