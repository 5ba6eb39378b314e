/** What a commit log, or its test, declares that it can and cannot do. */

export interface CommitLogCapabilities {
  readonly outage: boolean
  readonly fill: boolean
  readonly recreate: boolean
  readonly loseTail: boolean
}
