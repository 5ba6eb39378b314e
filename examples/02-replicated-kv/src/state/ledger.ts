/**
 * A record of what reached the state machine, for whoever wants to check the replication itself: how many entries carried each
 * request id, how often each took effect, and whether the indexes came one after the other. It is written before the request
 * table has its say, so what that table hides is seen here. Bounded: when it is full it counts what it leaves out.
 */
import type { Position, SnapshotMap } from 'kagami'
import { endOf, prefixes, type Cell, type LedgerCounts } from './cells.js'
import type { RequestId } from './command.js'

/** Blocks per token: 32 ids and 192 bytes each. */
const MAX_BLOCKS = 65_536
const IDS_PER_BLOCK = 32
const ROW_BYTES = 6
const MAX_COUNT = 255

export const emptyLedger: LedgerCounts = {
  nextIndex: 0,
  anonymous: 0,
  repeatedIndexes: 0,
  skippedIndexes: 0,
  blocks: 0,
  unrecorded: 0,
}

/** What is recorded of one request id. */
export interface LedgerRow {
  readonly client: string
  readonly number: number
  /** Entries of the log that carried the id. More than one where it was sent more than once. */
  readonly entries: number
  /** How often it took effect. */
  readonly effects: number
  /** The index of the entry that took effect first. */
  readonly index: number
}

/** A view of the ledger within a token's map. */
export class Ledger {
  readonly #cells: SnapshotMap<Cell>
  #counts: LedgerCounts

  constructor(cells: SnapshotMap<Cell>, counts: LedgerCounts) {
    this.#cells = cells
    this.#counts = counts
  }

  get counts(): LedgerCounts {
    return this.#counts
  }

  /** Every entry, before anything else is done with it. */
  arrived({ index }: Position): void {
    const { nextIndex, repeatedIndexes, skippedIndexes } = this.#counts
    this.#counts = {
      ...this.#counts,
      nextIndex: Math.max(nextIndex, index + 1),
      repeatedIndexes: repeatedIndexes + (index < nextIndex ? 1 : 0),
      skippedIndexes: skippedIndexes + Math.max(0, index - nextIndex),
    }
  }

  /** What became of the entry. */
  note(request: RequestId | undefined, tookEffect: boolean, { index }: Position): void {
    if (request === undefined) {
      this.#counts = { ...this.#counts, anonymous: this.#counts.anonymous + 1 }
      return
    }
    const { client, number } = request
    const key = `${prefixes.block}${client}#${Math.floor(number / IDS_PER_BLOCK)}`
    const before = this.#cells.get(key) as Uint8Array | undefined
    if (before === undefined && this.#counts.blocks >= MAX_BLOCKS) {
      this.#counts = { ...this.#counts, unrecorded: this.#counts.unrecorded + 1 }
      return
    }
    if (before === undefined) this.#counts = { ...this.#counts, blocks: this.#counts.blocks + 1 }
    // A copy each time: a captured map shows the old one.
    const block = Buffer.alloc(IDS_PER_BLOCK * ROW_BYTES)
    if (before !== undefined) block.set(before)
    const at = (number % IDS_PER_BLOCK) * ROW_BYTES
    const effects = block.readUInt8(at + 1)
    block.writeUInt8(Math.min(MAX_COUNT, block.readUInt8(at) + 1), at)
    if (tookEffect) {
      if (effects === 0) block.writeUInt32LE(index, at + 2)
      block.writeUInt8(Math.min(MAX_COUNT, effects + 1), at + 1)
    }
    this.#cells.set(key, block)
  }

  *rows(): Generator<LedgerRow, void, undefined> {
    for (const [key, cell] of this.#cells.entries({ from: prefixes.block, to: endOf(prefixes.block) })) {
      const border = key.lastIndexOf('#')
      const client = key.slice(prefixes.block.length, border)
      const first = Number(key.slice(border + 1)) * IDS_PER_BLOCK
      const bytes = cell as Uint8Array
      const block = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      for (let i = 0; i < IDS_PER_BLOCK; i++) {
        const at = i * ROW_BYTES
        const entries = block.readUInt8(at)
        if (entries === 0) continue
        const [effects, index] = [block.readUInt8(at + 1), block.readUInt32LE(at + 2)]
        yield { client, number: first + i, entries, effects, index }
      }
    }
  }
}
