/**
 * What the one map of a token's state holds, and as which bytes. Values, request records and the ledger share a map, told apart by
 * the first letters of their keys, so that one capture shows all of them at one position.
 */
import type { Outcome } from './command.js'

/** `d/<key>` */
export interface ValueCell {
  readonly version: string
  readonly value: Uint8Array
}

/** `c/<client>`: what a client's latest requests were answered, by growing number. */
export interface ClientCell {
  /** Numbers up to this one are forgotten. */
  readonly floor: number
  /** The entry that the client wrote last. */
  readonly usedAt: number
  readonly answers: readonly Answer[]
}

export interface Answer {
  readonly number: number
  readonly outcome: Outcome
}

/** `m`: counts that belong to the state. */
export interface CountsCell {
  readonly clients: number
  readonly ledger: LedgerCounts
}

export interface LedgerCounts {
  /** The index that the next entry must have. */
  readonly nextIndex: number
  /** Entries that came without a request id. */
  readonly anonymous: number
  /** Entries whose index had come before. */
  readonly repeatedIndexes: number
  /** Entries that are missing before another. */
  readonly skippedIndexes: number
  readonly blocks: number
  /** Ids that were not recorded, because the ledger was full. */
  readonly unrecorded: number
}

/** Keys of `u/<index>` hold the client that wrote the entry last; `l/<client>#<block>` a block of the ledger. */
export type Cell = ValueCell | ClientCell | CountsCell | string | Uint8Array

export const prefixes = { value: 'd/', client: 'c/', use: 'u/', block: 'l/', counts: 'm' } as const

/** The key that a range of a prefix ends before. */
export function endOf(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1)
}

const LENGTH_BYTES = 4

/** length of the key u32 · the key · the cell: values and blocks as they are, everything else as JSON. */
export function encodeCell(key: string, cell: Cell): Uint8Array {
  const name = Buffer.from(key)
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32LE(name.length)
  if (cell instanceof Uint8Array) return Buffer.concat([length, name, cell])
  if (key.startsWith(prefixes.value)) {
    const { version, value } = cell as ValueCell
    const tag = Buffer.from(version)
    return Buffer.concat([length, name, Buffer.from([tag.length]), tag, value])
  }
  return Buffer.concat([length, name, Buffer.from(JSON.stringify(cell))])
}

export function decodeCell(bytes: Uint8Array): readonly [key: string, cell: Cell] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const end = LENGTH_BYTES + buffer.readUInt32LE(0)
  const key = buffer.toString('utf8', LENGTH_BYTES, end)
  const rest = buffer.subarray(end)
  if (key.startsWith(prefixes.block)) return [key, new Uint8Array(rest)]
  if (!key.startsWith(prefixes.value)) return [key, JSON.parse(rest.toString('utf8')) as Cell]
  const tagEnd = 1 + rest.readUInt8(0)
  return [key, { version: rest.toString('utf8', 1, tagEnd), value: new Uint8Array(rest.subarray(tagEnd)) }]
}
