/** What all logs of one adapter share: the folder, the open files, the bound on syncs, and who is told of changes. */
import type { Logger } from '@kagami/core/contract'
import type { Alarm } from './alarm.js'
import type { Folder } from './folder.js'
import type { Gate } from './gate.js'
import type { HubListener, Hub } from './hub.js'
import type { OpenFiles } from './open-files.js'
import type { Settings } from './options.js'

export interface LogStore {
  readonly settings: Settings
  readonly folder: Folder
  readonly hub: Hub
  /** Whom the hub must not tell of this adapter's own changes. */
  readonly self: HubListener
  readonly files: OpenFiles
  /** Wakes the readings that wait. */
  readonly alarm: Alarm
  readonly syncs: Gate
  readonly logger: Logger
  /** Of all records: unique, so that a writer finds its own. */
  nonce(): bigint
}
