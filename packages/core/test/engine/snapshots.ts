/** Snapshots' metadata for the engine's tests. */
import type { SnapshotMeta, SnapshotRef } from '../../src/contract/index.js'

export function metaOf(given: Partial<SnapshotMeta> = {}): SnapshotMeta {
  return {
    format: 1,
    id: '1-10-a-00',
    token: 'orders',
    incarnation: 1,
    epoch: 3,
    term: '00000000000000ff',
    nextSeq: 4,
    nextIndex: 10,
    chain: '0123456789abcdef',
    level: 0,
    anchor: { offset: '100', checksum: 123_456 },
    log: { address: 'log-1', identity: 'uuid-1' },
    schemaVersion: 2,
    takenAtMs: 1_700_000_000_000,
    member: 'a-1',
    ...given,
  }
}

export function refOf(id: string, nextIndex: number, given: Partial<SnapshotMeta> = {}): SnapshotRef {
  const anchor = { offset: String(1_000 + nextIndex * 10), checksum: 1 }
  return { meta: metaOf({ id, nextIndex, anchor, ...given }), bytes: 1_000 }
}
