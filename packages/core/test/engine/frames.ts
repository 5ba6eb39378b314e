/** Random and readable frames for the engine's tests. */
import fc from 'fast-check'
import { crc32 } from 'node:zlib'
import type { BarrierFrame, DataFrame, Frame, LevelFrame, MarkerFrame, OpenFrame } from '../../src/engine/frame.js'
import { encodeEntries } from '../../src/engine/frame.js'

export const LARGEST_COUNT = 2 ** 53 - 1
export const LARGEST_TERM = 2n ** 64n - 1n
/** 200 bytes in UTF-8, the longest a token's name may be. */
export const LONGEST_NAME = `${'鏡'.repeat(66)}ab`

export const text = (value: string): Uint8Array => Buffer.from(value, 'utf8')

export function openFrame(given: Partial<OpenFrame> = {}): OpenFrame {
  const head = { token: 'orders', incarnation: 1, timeMs: 1_700_000_000_000 }
  return { kind: 'open', ...head, deleted: false, address: 'log-1', identity: 'uuid-1', ...given }
}

export function barrierFrame(given: Partial<BarrierFrame> = {}): BarrierFrame {
  return {
    kind: 'barrier',
    token: 'orders',
    incarnation: 1,
    timeMs: 1_700_000_000_000,
    epoch: 1,
    term: 1n,
    nextIndex: 0,
    ...given,
  }
}

export function dataFrame(entries: readonly Uint8Array[], given: Partial<DataFrame> = {}): DataFrame {
  return {
    kind: 'data',
    token: 'orders',
    incarnation: 1,
    timeMs: 1_700_000_000_000,
    epoch: 1,
    term: 1n,
    firstSeq: 0,
    firstIndex: 0,
    count: entries.length,
    chain: 0n,
    body: encodeEntries(entries),
    ...given,
  }
}

export function markerFrame(given: Partial<MarkerFrame> = {}): MarkerFrame {
  return { kind: 'marker', token: 'orders', incarnation: 1, timeMs: 1_700_000_000_000, nonce: 1n, ...given }
}

export function levelFrame(given: Partial<LevelFrame> = {}): LevelFrame {
  const head = { token: 'orders', incarnation: 1, timeMs: 1_700_000_000_000 }
  return { kind: 'level', ...head, epoch: 1, term: 1n, level: 1, ...given }
}

/** Puts the right checksum behind changed bytes. */
export function resealed(record: Uint8Array, change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(record)
  change(bytes)
  bytes.writeUInt32BE(crc32(bytes.subarray(0, -4)), bytes.length - 4)
  return bytes
}

export const oneOfEachKind: readonly Frame[] = [
  openFrame(),
  openFrame({ deleted: true }),
  barrierFrame({ epoch: 7, term: 0x0123456789abcdefn, nextIndex: 9 }),
  dataFrame([text('first'), text(''), text('third')], { firstSeq: 3, firstIndex: 9, chain: 0xfedcba9876543210n }),
  markerFrame({ nonce: 0x1122334455667788n }),
  levelFrame({ level: 4 }),
]

const name = fc
  .oneof(fc.string({ minLength: 1, maxLength: 12 }), fc.string({ minLength: 1, maxLength: 60, unit: 'grapheme' }))
  .filter((value) => Buffer.byteLength(value) <= 200 && Buffer.from(value).toString() === value)
const token = fc.oneof(name, fc.constant(LONGEST_NAME))
const count = fc.oneof(
  fc.nat(),
  fc.maxSafeNat(),
  fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, LARGEST_COUNT - 1, LARGEST_COUNT),
)
const bits64 = fc.oneof(fc.bigInt({ min: 0n, max: LARGEST_TERM }), fc.constantFrom(0n, 1n, 2n ** 63n, LARGEST_TERM))
const head = { token, incarnation: count, timeMs: count }
const role = { epoch: count, term: bits64 }

/** Lengths around the borders of the length numbers, besides any. */
export const entryList: fc.Arbitrary<Uint8Array[]> = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.constantFrom(0, 1, 127, 128, 129, 16_383, 16_384).map((length) => new Uint8Array(length).fill(length % 251)),
  ),
  { maxLength: 8 },
)

export const anyFrame: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ kind: fc.constant('open' as const), ...head, deleted: fc.boolean(), address: name, identity: name }),
  fc.record({ kind: fc.constant('barrier' as const), ...head, ...role, nextIndex: count }),
  fc
    .record({
      kind: fc.constant('data' as const),
      ...head,
      ...role,
      firstSeq: count,
      firstIndex: count,
      chain: bits64,
      entries: entryList,
    })
    .map(({ entries, ...frame }) => ({ ...frame, count: entries.length, body: encodeEntries(entries) })),
  fc.record({ kind: fc.constant('marker' as const), ...head, nonce: bits64 }),
  fc.record({ kind: fc.constant('level' as const), ...head, ...role, level: fc.integer({ min: 0, max: 2 ** 32 - 1 }) }),
)
