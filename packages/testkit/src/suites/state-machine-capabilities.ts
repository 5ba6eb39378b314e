/** What a state machine, or its test, declares that it can and cannot do. */

export interface StateMachineCapabilities {
  /** The entries of the subject make snapshots of at least two chunks, so an abort can come between them. */
  readonly manyChunks: boolean
}
