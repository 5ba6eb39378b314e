/** What a coordinator, or its test, declares that it can and cannot do. */

export interface CoordinatorCapabilities {
  /** The world can make the coordinator unreachable. */
  readonly outage: boolean
  /** The world can leave the coordinator no room. */
  readonly fill: boolean
  /** The world can cut off one node. */
  readonly partition: boolean
  /** The world can end the sessions of a node that is in contact. */
  readonly expire: boolean
  /** The world can lose all documents. */
  readonly wipe: boolean
  /** The world can damage a document where it is kept. */
  readonly damage: boolean
}
