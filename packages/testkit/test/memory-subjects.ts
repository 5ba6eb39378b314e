/** The in-memory adapters as the suites' subjects, and a hook to put a wrapper, a broken double for instance, around each. */
import type { CommitLog, Coordinator, SnapshotStore } from '@kagami/core/contract'
import { memoryCluster } from '../src/memory/cluster.js'
import type { MemoryOffsetOptions } from '../src/memory/log-server.js'
import type { CommitLogSubject } from '../src/suites/commit-log.js'
import type { CoordinatorSubject } from '../src/suites/coordinator.js'
import type { SuiteTiming } from '../src/suites/runner.js'
import type { SnapshotStoreSubject } from '../src/suites/snapshot-store.js'

const timing: SuiteTiming = { patienceMs: 2_000, quietMs: 30 }

export function memoryLogSubject(
  options: {
    readonly wrap?: (log: CommitLog, world: object) => CommitLog
    readonly offsets?: MemoryOffsetOptions
  } = {},
): CommitLogSubject {
  const { wrap = (log) => log, offsets = {} } = options
  return {
    timing,
    capabilities: { outage: true, fill: true, recreate: true, loseTail: true },
    setup: () => {
      const world = memoryCluster({ offsets })
      return {
        open: () => wrap(world.commitLog(), world),
        outage: () => world.logs.cut(),
        fill: () => world.logs.fill(),
        recreate: (address) => world.logs.recreate(address),
        loseTail: (address, count) => world.logs.loseTail(address, count),
      }
    },
  }
}

export function memorySnapshotSubject(
  wrap: (store: SnapshotStore, world: object) => SnapshotStore = (store) => store,
): SnapshotStoreSubject {
  return {
    timing,
    capabilities: { outage: true, fill: true, corrupt: true, tear: true, spoilMeta: true, boundedMemory: false },
    setup: () => {
      const world = memoryCluster()
      return {
        open: () => wrap(world.snapshotStore(), world),
        outage: () => world.snapshots.cut(),
        fill: () => world.snapshots.fill(),
        corrupt: (token, id) => world.snapshots.corrupt(token, id),
        tear: (token, id) => world.snapshots.tear(token, id),
        spoilMeta: (token, id) => world.snapshots.spoilMeta(token, id),
      }
    },
  }
}

export function memoryCoordinatorSubject(
  options: {
    readonly wrap?: (coordinator: Coordinator, world: object) => Coordinator
    readonly sessionTimeoutMs?: number | undefined
  } = {},
): CoordinatorSubject {
  const { wrap = (coordinator) => coordinator, sessionTimeoutMs = 300 } = options
  return {
    timing,
    capabilities: { outage: true, fill: true, partition: true, expire: true, wipe: true, damage: true },
    setup: () => {
      const world = memoryCluster()
      return {
        open: () => wrap(world.coordinator({ sessionTimeoutMs }), world),
        outage: () => world.coordination.cut(),
        fill: () => world.coordination.fill(),
        partition: (node) => world.coordination.cut(node),
        expire: (node) => world.coordination.expire(node),
        wipe: () => world.coordination.wipeDocuments(),
        damage: (name: string) => world.coordination.damage('conformance', name),
      }
    },
  }
}
