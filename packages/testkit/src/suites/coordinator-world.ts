/** What the suite of coordinators is given to work with. */
import type { Coordinator } from '@kagami/core/contract'
import type { AdapterWorld } from './adapter.js'
import type { EndFault } from './runner.js'

/** What the cases work on: a coordinator that knows nothing yet, and its faults. */
export interface CoordinatorWorld extends AdapterWorld {
  open(node: string): Coordinator
  /** Makes the coordinator unreachable for every node, until the returned function is called. Capability `outage`. */
  outage?(): Promise<EndFault> | EndFault
  /** Leaves the coordinator no room for a document of 50,000 bytes, until the returned function is called. Capability `fill`. */
  fill?(): Promise<EndFault> | EndFault
  /** Cuts one node off from the coordinator, until the returned function is called. Capability `partition`. */
  partition?(node: string): Promise<EndFault> | EndFault
  /** Lets the sessions of a node expire at once, while it is in contact. Capability `expire`. */
  expire?(node: string): Promise<void> | void
  /** Loses all documents; what happens to the sessions is open. Capability `wipe`. */
  wipe?(): Promise<void> | void
  /** Damages a document where it is kept, as a medium does that loses a byte. Capability `damage`. */
  damage?(name: string): Promise<void> | void
}
