/** All broken doubles, by the contract that they break. */
import type { CommitLog, Coordinator, SnapshotStore } from '@kagami/core/contract'
import type { BrokenLog } from './commit-logs.js'
import { brokenLogs } from './commit-logs.js'
import { coordinatorsWithMisleadingErrors } from './coordinator-errors.js'
import { coordinatorsWithBrokenStates } from './coordinator-states.js'
import type { BrokenCoordinator } from './coordinators.js'
import { brokenCoordinators } from './coordinators.js'
import { deaf } from './delegate.js'
import { brokenLives } from './lives.js'
import { logsWithBrokenAddresses } from './log-addresses.js'
import { logsWithMisleadingErrors } from './log-errors.js'
import { logsWithBrokenRecords } from './log-records.js'
import { machinesWithBrokenStates } from './machine-states.js'
import type { BrokenMachine } from './machines.js'
import { brokenMachines } from './machines.js'
import type { BrokenStore } from './snapshot-stores.js'
import { brokenStores } from './snapshot-stores.js'
import { storesWithMisleadingErrors } from './store-errors.js'
import { storesWithTightLimits } from './store-limits.js'

const none: ReadonlySet<string> = new Set()

export const allLogs: readonly BrokenLog[] = [
  ...brokenLogs,
  ...brokenLives<CommitLog>((log) => log.find('orders', none, { signal: deaf() })),
  ...logsWithBrokenAddresses,
  ...logsWithBrokenRecords,
  ...logsWithMisleadingErrors,
]

export const allCoordinators: readonly BrokenCoordinator[] = [
  ...brokenCoordinators,
  ...brokenLives<Coordinator>((coordinator) => coordinator.connect({ signal: deaf() })),
  ...coordinatorsWithBrokenStates,
  ...coordinatorsWithMisleadingErrors,
]

export const allStores: readonly BrokenStore[] = [
  ...brokenStores,
  ...brokenLives<SnapshotStore>((store) => store.list('orders', { signal: deaf() })),
  ...storesWithTightLimits,
  ...storesWithMisleadingErrors,
]

export const allMachines: readonly BrokenMachine[] = [...brokenMachines, ...machinesWithBrokenStates]

export { brokenStrategies as allStrategies } from './strategies.js'
