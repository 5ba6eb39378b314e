/** `@kagami/core`: the application's door. Adapters use `@kagami/core/contract`. */
export { badOption, comparePositions, isKagamiError, KagamiError, refuseUnknownOptions } from './contract/index.js'
export type {
  Adapter,
  AdapterContext,
  CallOptions,
  Clock,
  Codec,
  CommitLog,
  Coordinator,
  Entry,
  KagamiErrorCode,
  KagamiErrorOptions,
  Logger,
  Metrics,
  PlacementStrategy,
  Position,
  Random,
  RestoreInfo,
  Seams,
  SnapshotStore,
  StateMachine,
  StateSnapshot,
  Timer,
} from './contract/index.js'
export type {
  AlterOptions,
  CopyHealth,
  Fence,
  Health,
  JsonValue,
  Kagami,
  KagamiEvents,
  KagamiOptions,
  Lag,
  LimitOptions,
  Location,
  NodeOptions,
  NodeRef,
  PlacementLimitOptions,
  Replicated,
  Role,
  SnapshotOptions,
  Token,
  TokenOptions,
} from './runtime/api.js'
export type {
  Cluster,
  ClusterOptions,
  ClusterStatus,
  CopyState,
  CopyStatus,
  MemberStatus,
  SnapshotStatus,
  StatusOptions,
  TokenStatus,
} from './runtime/cluster-api.js'
export { openCluster } from './runtime/open-cluster.js'
export { createKagami } from './runtime/node.js'
export { systemSeams } from './runtime/system-seams.js'
export { persistMap, restoreMap, snapshotMap } from './state/index.js'
export type { CapturedMap, KeyRange, ReadonlySnapshotMap, SnapshotMap } from './state/index.js'
