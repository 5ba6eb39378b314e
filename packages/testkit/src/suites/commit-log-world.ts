/** What the suite of commit logs is given to work with. */
import type { CommitLog, LogAddress } from '@kagami/core/contract'
import type { AdapterWorld } from './adapter.js'
import type { EndFault } from './runner.js'

/** What the cases work on: a commit log that holds nothing yet, and its faults. */
export interface CommitLogWorld extends AdapterWorld {
  open(node: string): CommitLog
  /** Makes the log unreachable for every node, until the returned function is called. Capability `outage`. */
  outage?(): Promise<EndFault> | EndFault
  /** Leaves no room for appends, until the returned function is called. Capability `fill`. */
  fill?(): Promise<EndFault> | EndFault
  /** Deletes a log and creates it anew at the same address, behind the adapters' back. Capability `recreate`. */
  recreate?(address: LogAddress): Promise<void> | void
  /** Loses the newest records of a log. Capability `loseTail`. */
  loseTail?(address: LogAddress, count: number): Promise<void> | void
}
