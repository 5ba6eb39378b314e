/** What a broken coordinator is, and how its sessions, watches and leaderships are broken. */
import type { Coordinator, Document, Leadership, Session } from '@kagami/core/contract'
import type { CoordinatorCapabilities } from '../../src/suites/coordinator-capabilities.js'
import { brokenSessions, delegate } from './delegate.js'

export interface BrokenCoordinator {
  readonly fault: string
  /** `world` is one for all the adapters of a case. */
  readonly wrap: (coordinator: Coordinator, world: object) => Coordinator
  readonly caught: readonly string[]
  /** The timeout of the sessions below, where it is not the usual one. */
  readonly sessionTimeoutMs?: number
  /** What it declares, where that is another thing than it can. */
  readonly claims?: Partial<CoordinatorCapabilities>
}

export function sessions(change: (session: Session) => Partial<Session>): (coordinator: Coordinator) => Coordinator {
  return (coordinator) => brokenSessions(coordinator, change)
}

export type States = AsyncIterable<ReadonlyMap<string, Document>>

/** A coordinator whose watches are changed. */
export function watches(change: (states: States, prefix: string) => States): (coordinator: Coordinator) => Coordinator {
  return sessions((session) => ({ watch: (prefix, options) => change(session.watch(prefix, options), prefix) }))
}

/** A coordinator whose leaderships are changed. */
export function leaderships(
  change: (leadership: Leadership) => Partial<Leadership>,
): (coordinator: Coordinator) => Coordinator {
  return sessions((session) => ({
    campaign: async (options) => {
      const leadership = await session.campaign(options)
      return delegate(leadership, change(leadership))
    },
  }))
}

/** A coordinator whose leaderships end for another reason. */
export function endings(change: (reason: unknown) => unknown): (coordinator: Coordinator) => Coordinator {
  return leaderships((leadership) => {
    const ending = new AbortController()
    leadership.signal.addEventListener('abort', () => ending.abort(change(leadership.signal.reason)))
    return { signal: ending.signal }
  })
}
