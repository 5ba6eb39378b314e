/**
 * `@kagami/core/contract`: the adapters' door. Everything that a commit log, coordinator, placement strategy, snapshot
 * store or state machine promises, and nothing else. Imports nothing from the rest of core.
 */
export { listenForAbort, orAborted } from './abort.js'
export type { Adapter, AdapterContext, CallOptions } from './adapter.js'
export type { CommitLog, LogAddress, LogBatch, LogRecord, ReadOptions, TokenLog } from './commit-log.js'
export type { Coordinator, Document, Leadership, LeaseState, MemberRecord, Session } from './coordinator.js'
export { badOption, isKagamiError, KagamiError } from './errors.js'
export type { KagamiErrorCode, KagamiErrorOptions } from './errors.js'
export { refuseUnknownOptions } from './option-names.js'
export type {
  Placement,
  PlacementInput,
  PlacementMember,
  PlacementStrategy,
  PlacementTarget,
  PlacementToken,
} from './placement.js'
export { comparePositions } from './position.js'
export type { Offset, Position } from './position.js'
export type { Clock, Logger, Metrics, Random, Seams, Timer } from './seams.js'
export type { SnapshotMeta, SnapshotRef, SnapshotStore } from './snapshot-store.js'
export type { Codec, Entry, RestoreInfo, StateMachine, StateSnapshot } from './state-machine.js'
