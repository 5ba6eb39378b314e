/** All broken doubles, by the contract that they break. */
import { brokenLogs } from './commit-logs.js'
import { coordinatorsWithMisleadingErrors } from './coordinator-errors.js'
import { brokenCoordinators } from './coordinators.js'
import { logsWithMisleadingErrors } from './log-errors.js'
import { brokenStores } from './snapshot-stores.js'
import { storesWithMisleadingErrors } from './store-errors.js'

export const allLogs = [...brokenLogs, ...logsWithMisleadingErrors]
export const allCoordinators = [...brokenCoordinators, ...coordinatorsWithMisleadingErrors]
export const allStores = [...brokenStores, ...storesWithMisleadingErrors]
