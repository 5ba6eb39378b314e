/** Sessions and records, for the suite of `Coordinator`. */
import type { Coordinator, MemberRecord, Session } from '@kagami/core/contract'
import type { CoordinatorWorld } from './coordinator-world.js'
import { bytesOf } from './expect.js'
import type { Scope } from './runner.js'

export interface Connected {
  readonly coordinator: Coordinator
  readonly session: Session
}

/** A coordinator of this node, and a session. */
export async function connectOn(
  scope: Scope,
  world: CoordinatorWorld,
  node: string,
  cluster?: string,
): Promise<Connected> {
  const coordinator = await scope.start(world.open(node), node, cluster)
  const session = await scope.within(coordinator.connect(scope.options), 'connect()')
  scope.defer(() => session.close())
  return { coordinator, session }
}

export async function sessionsOf(scope: Scope, world: CoordinatorWorld, nodes: readonly string[]): Promise<Session[]> {
  const sessions: Session[] = []
  for (const node of nodes) sessions.push((await connectOn(scope, world, node)).session)
  return sessions
}

export function memberOf(node: string, run = 1, data = `data of ${node}-${run}`): MemberRecord {
  return { node, member: `${node}-${run}`, data: bytesOf(data) }
}

/** When the signal aborts, by the monotonic clock. */
export function abortOf(signal: AbortSignal): Promise<number> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(performance.now())
    signal.addEventListener('abort', () => resolve(performance.now()), { once: true })
  })
}
