/** `@kagami/snapshot-fs`: a snapshot store in a folder. */
export { fsSnapshotStore } from './store.js'
export type { FsSnapshotStoreOptions } from './options.js'
