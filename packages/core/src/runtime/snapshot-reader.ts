/**
 * Reads a published snapshot to its end and checks all of it: what verifies one is what restores one, so none is counted on that
 * can't be restored.
 */
import { isDeepStrictEqual } from 'node:util'
import { KagamiError, type SnapshotRef, type SnapshotStore } from '../contract/index.js'
import { BlobReader } from '../engine/snapshot-blob.js'

export interface SnapshotReadOptions {
  readonly signal: AbortSignal
  /** Called with the size of each chunk that the store gave. */
  readonly onChunk?: (bytes: number) => void
}

/**
 * The state's bytes. It ends without an error only when the whole snapshot was seen, and is the one that was listed.
 * @throws KAGAMI_SNAPSHOT_CORRUPT, KAGAMI_UNKNOWN_FORMAT, and what the store throws
 */
export async function* readSnapshot(
  store: SnapshotStore,
  ref: SnapshotRef,
  { signal, onChunk }: SnapshotReadOptions,
): AsyncGenerator<Uint8Array> {
  const { token, id } = ref.meta
  const reader = new BlobReader()
  for await (const chunk of store.open(token, id, { signal })) {
    onChunk?.(chunk.length)
    yield* reader.push(chunk)
  }
  reader.finish()
  // The listing and the blob are stored apart: the blob's own metadata, which its checksum covers, is what counts.
  if (!isDeepStrictEqual(reader.meta, ref.meta))
    throw new KagamiError('KAGAMI_SNAPSHOT_CORRUPT', `snapshot ${id} is listed with other metadata than it holds`)
}
