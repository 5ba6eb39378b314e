/** The helper for state machines that keep their state in one large map. */
export { persistMap, restoreMap } from './map-codec.js'
export { snapshotMap } from './snapshot-map.js'
export type { CapturedMap, KeyRange, ReadonlySnapshotMap, SnapshotMap } from './snapshot-map.js'
