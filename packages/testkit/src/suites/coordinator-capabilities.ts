/** What a coordinator, or its test, declares that it can and cannot do. */

export interface CoordinatorCapabilities {
  readonly outage: boolean
  readonly fill: boolean
  readonly partition: boolean
  readonly expire: boolean
  readonly wipe: boolean
  readonly damage: boolean
}
