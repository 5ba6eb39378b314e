/** `kagami/snapshot-fs`: the adapter @kagami/snapshot-fs, loaded only when this is imported. */
export * from '@kagami/snapshot-fs'
