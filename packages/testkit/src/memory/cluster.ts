/**
 * A world in one process: the servers of a commit log, a coordinator and a snapshot store, shared by the adapters of
 * several nodes. For users' own tests; it keeps everything in memory and nothing afterwards.
 */
import { badOption, refuseUnknownOptions } from '@kagami/core/contract'
import type { Clock, CommitLog, Coordinator, Random, SnapshotStore } from '@kagami/core/contract'
import { MemoryCommitLog } from './commit-log.js'
import type { MemoryCommitLogOptions } from './commit-log.js'
import { CoordinatorServer } from './coordinator-server.js'
import type { MemoryCoordinatorControls } from './coordinator-server.js'
import { MemoryCoordinator } from './coordinator.js'
import type { MemoryCoordinatorOptions } from './coordinator.js'
import { LogServer } from './log-server.js'
import type { MemoryLogControls, MemoryOffsetOptions } from './log-server.js'
import type { Mend } from './reach.js'
import { SnapshotServer } from './snapshot-server.js'
import type { MemorySnapshotControls } from './snapshot-server.js'
import { MemorySnapshotStore } from './snapshot-store.js'
import { systemClock, systemRandom } from './system.js'

/** What {@link memoryCluster} takes. */
export interface MemoryClusterOptions {
  /** Every timeout of the world runs by this clock. @default the system's */
  readonly clock?: Clock
  /** Names the identities of logs. @default the system's */
  readonly random?: Random
  /** How the offsets of the logs run. @default from 0, one by one */
  readonly offsets?: MemoryOffsetOptions
}

const names: Readonly<Record<keyof MemoryClusterOptions, true>> = { clock: true, random: true, offsets: true }

/** Makes the adapters of each node, and holds what they share. Which node an adapter is of is told to its `start`. */
export interface MemoryCluster {
  /** The one that was given, by which everything here waits. */
  readonly clock: Clock
  /**
   * A new adapter, for one node. All of them show the same logs.
   * @throws KAGAMI_BAD_OPTION
   */
  commitLog(options?: MemoryCommitLogOptions): CommitLog
  /**
   * A new adapter, for one node. All of them show the same members and documents.
   * @throws KAGAMI_BAD_OPTION
   */
  coordinator(options?: MemoryCoordinatorOptions): Coordinator
  /** A new adapter, for one node. All of them show the same snapshots. */
  snapshotStore(): SnapshotStore
  /** What a test sees of the logs, and the faults that it makes in them. */
  readonly logs: MemoryLogControls
  /** What a test sees of the coordinator, and the faults that it makes in it. */
  readonly coordination: MemoryCoordinatorControls
  /** The faults that a test makes in the snapshot store. */
  readonly snapshots: MemorySnapshotControls
  /** Cuts a node off from everything until the returned function is called; never called, it is as if the node had crashed. */
  cut(node: string): Mend
}

/**
 * The in-memory adapters, for tests. Nothing in it waits but by `clock`, so under a virtual clock everything is
 * deterministic.
 * @throws KAGAMI_BAD_OPTION
 */
export function memoryCluster(options: MemoryClusterOptions = {}): MemoryCluster {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  refuseUnknownOptions(options, Object.keys(names))
  const clock = options.clock ?? systemClock()
  const logs = new LogServer(options.random ?? systemRandom(), options.offsets ?? {})
  const coordination = new CoordinatorServer(clock)
  const snapshots = new SnapshotServer()
  return {
    clock,
    commitLog: (own = {}) => new MemoryCommitLog(logs, clock, own),
    coordinator: (own = {}) => new MemoryCoordinator(coordination, clock, own),
    snapshotStore: () => new MemorySnapshotStore(snapshots),
    logs,
    coordination,
    snapshots,
    cut: (node) => {
      const mends = [logs.cut(node), coordination.cut(node), snapshots.cut(node)]
      return () => {
        for (const mend of mends) mend()
      }
    },
  }
}
