/** All broken doubles, by the contract that they break. */
import type { CommitLog, Coordinator, SnapshotStore } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import type { BrokenLog } from './broken-log.js'
import type { BrokenStore } from './broken-store.js'
import { coordinatorsWithBrokenDocuments } from './coordinator-documents.js'
import { coordinatorsWithMisleadingErrors } from './coordinator-errors.js'
import { coordinatorsWithBrokenLeaders } from './coordinator-leaders.js'
import { coordinatorsWithBrokenSessions } from './coordinator-sessions.js'
import { coordinatorsWithBrokenWatches } from './coordinator-watches.js'
import { deaf } from './delegate.js'
import { brokenLives } from './lives.js'
import { logsWithBrokenAddresses } from './log-addresses.js'
import { logsWithMisleadingErrors } from './log-errors.js'
import { logsWithBrokenReadings } from './log-readings.js'
import { logsWithBrokenRecords } from './log-records.js'
import { logsWithBrokenTruncations } from './log-truncations.js'
import { machinesWithBrokenStates } from './machine-states.js'
import type { BrokenMachine } from './machines.js'
import { brokenMachines } from './machines.js'
import { storesWithMisleadingErrors } from './store-errors.js'
import { storesWithTightLimits } from './store-limits.js'
import { storesWithBrokenLists } from './store-lists.js'
import { storesWithBrokenStreams } from './store-streams.js'

const none: ReadonlySet<string> = new Set()

export const allLogs: readonly BrokenLog[] = [
  ...brokenLives<CommitLog>((log) => log.find('orders', none, { signal: deaf() })),
  ...logsWithBrokenAddresses,
  ...logsWithBrokenReadings,
  ...logsWithBrokenRecords,
  ...logsWithBrokenTruncations,
  ...logsWithMisleadingErrors,
]

export const allCoordinators: readonly BrokenCoordinator[] = [
  ...brokenLives<Coordinator>((coordinator) => coordinator.connect({ signal: deaf() })),
  ...coordinatorsWithBrokenSessions,
  ...coordinatorsWithBrokenLeaders,
  ...coordinatorsWithBrokenDocuments,
  ...coordinatorsWithBrokenWatches,
  ...coordinatorsWithMisleadingErrors,
]

export const allStores: readonly BrokenStore[] = [
  ...brokenLives<SnapshotStore>((store) => store.list('orders', { signal: deaf() })),
  ...storesWithBrokenStreams,
  ...storesWithBrokenLists,
  ...storesWithTightLimits,
  ...storesWithMisleadingErrors,
]

export const allMachines: readonly BrokenMachine[] = [...brokenMachines, ...machinesWithBrokenStates]

export { brokenStrategies as allStrategies } from './strategies.js'
