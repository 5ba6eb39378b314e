/** What a commit log, or its test, declares that it can and cannot do. */

export interface CommitLogCapabilities {
  /** The world can make the log unreachable. */
  readonly outage: boolean
  /** The world can leave the log no room. */
  readonly fill: boolean
  /** The world can delete a log and create it anew. */
  readonly recreate: boolean
  /** The world can make a log lose what it has acknowledged. */
  readonly loseTail: boolean
}
