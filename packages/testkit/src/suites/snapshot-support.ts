/** Snapshots to publish and ways to read them back, for the suite of `SnapshotStore`. */
import type { CallOptions, SnapshotMeta, SnapshotStore } from '@kagami/core/contract'
import { bytesOf } from './expect.js'

/** Well-formed metadata. */
export function metaOf(token: string, id: string, changes: Partial<SnapshotMeta> = {}): SnapshotMeta {
  return {
    format: 1,
    id,
    token,
    incarnation: 1,
    epoch: 3,
    term: '00f00dcafe00beef',
    nextSeq: 12,
    nextIndex: 1234,
    chain: '0123456789abcdef',
    level: 0,
    anchor: { offset: '1233', checksum: 305_419_896 },
    log: { address: 'log-1', identity: 'id-1' },
    schemaVersion: 2,
    takenAtMs: 1_700_000_000_000,
    member: 'a-1',
    ...changes,
  }
}

/** A stream of these texts. */
export async function* source(texts: Iterable<string>): AsyncGenerator<Uint8Array, void, void> {
  for (const text of texts) yield bytesOf(text)
}

/** A stream that does what each of these steps does, one for each chunk. */
export async function* steps(
  each: Iterable<() => Uint8Array | Promise<Uint8Array>>,
): AsyncGenerator<Uint8Array, void, void> {
  for (const step of each) yield await step()
}

/** The whole blob as text. */
export async function contents(store: SnapshotStore, token: string, id: string, options: CallOptions): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of store.open(token, id, options)) text += decoder.decode(chunk, { stream: true })
  return text + decoder.decode()
}
