/** The factory: checks the options once, and makes the two adapters that share a folder. Does no I/O. */
import type { CommitLog, Coordinator } from '@kagami/core/contract'
import { EmbeddedCoordinator } from './coordinator.js'
import { Homes } from './home.js'
import { EmbeddedCommitLog } from './log.js'
import { settingsOf } from './options.js'
import type { EmbeddedOptions } from './options.js'

/** Both adapters of one node. They share the folder, and whoever is given one starts and stops it. */
export interface Embedded {
  /** Acknowledges an append when it is synced to the disk. */
  readonly log: CommitLog
  /** Notices a process that died at once, and one that is frozen after `sessionTimeoutMs`. */
  readonly coordinator: Coordinator
}

/**
 * A commit log and a coordinator in one folder. Every process that names the same folder and cluster takes part, and so
 * does every node within one process, each with adapters of its own.
 * @throws KAGAMI_BAD_OPTION
 */
export function embedded(options: EmbeddedOptions): Embedded {
  const settings = settingsOf(options)
  const homes = new Homes(settings)
  return { log: new EmbeddedCommitLog(settings, homes), coordinator: new EmbeddedCoordinator(settings, homes) }
}
