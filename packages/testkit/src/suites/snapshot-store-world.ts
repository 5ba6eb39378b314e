/** What the suite of snapshot stores is given to work with. */
import type { SnapshotStore } from '@kagami/core/contract'
import type { AdapterWorld } from './adapter.js'
import type { EndFault } from './runner.js'

/** What the cases work on: a store that holds nothing yet, and its faults. */
export interface SnapshotStoreWorld extends AdapterWorld {
  open(node: string): SnapshotStore
  /** Makes the store unreachable for every node, until the returned function is called. Capability `outage`. */
  outage?(): Promise<EndFault> | EndFault
  /** Leaves no room in the store, until the returned function is called. Capability `fill`. */
  fill?(): Promise<EndFault> | EndFault
  /** Changes a bit of a published blob where it is stored. Capability `corrupt`. */
  corrupt?(token: string, id: string): Promise<void> | void
  /** Makes the metadata of a published snapshot unreadable where it is stored. Capability `spoilMeta`. */
  spoilMeta?(token: string, id: string): Promise<void> | void
  /** Cuts a published blob short where it is stored. Capability `tear`. */
  tear?(token: string, id: string): Promise<void> | void
}
