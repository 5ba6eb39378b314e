import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  DamagedRecord,
  encodeRecord,
  headerBytes,
  maxPayloadBytes,
  parse,
  recordTypes,
  voidPayload,
} from '../src/record.js'
import type { ParsedRecord, RecordInfo } from '../src/record.js'
import { segmentHeaderBytes } from '../src/segment.js'
import { longestPayload, parseWhole, seed, writtenLogs } from './written-logs.js'
import type { WrittenFile } from './written-logs.js'

const file = { base: 1000, seed: 7 }
const mark = encodeRecord(new Uint8Array(0), { type: recordTypes.data, nonce: 0n, synced: 0, seed: 7 }).subarray(0, 8)

function record(text: string | Uint8Array, info: Partial<RecordInfo> = {}): Buffer {
  return encodeRecord(Buffer.from(text), { type: recordTypes.data, nonce: 1n, synced: 0, seed: file.seed, ...info })
}

function texts(bytes: Buffer, badFrom?: number): string[] {
  return parse(bytes, 64, badFrom, file, Number.POSITIVE_INFINITY).records.map(({ payload }) => payload.toString())
}

describe('parse', () => {
  it('gives records back as they were written, with where they begin and end', () => {
    const bytes = Buffer.concat([record('one'), record(''), record('three', { nonce: 9n })])
    const parsed = parse(bytes, 64, undefined, file, Number.POSITIVE_INFINITY)
    expect(parsed.records.map(({ from, to, nonce, payload }) => [from, to, nonce, payload.toString()])).toEqual([
      [64, 64 + headerBytes + 3, 1n, 'one'],
      [64 + headerBytes + 3, 64 + 2 * headerBytes + 3, 1n, ''],
      [64 + 2 * headerBytes + 3, 64 + 3 * headerBytes + 8, 9n, 'three'],
    ])
    expect(parsed.position).toBe(64 + bytes.byteLength)
  })

  it('waits for the rest of a record, and says how much it needs', () => {
    const whole = record('a record')
    for (let length = 0; length < whole.byteLength; length++) {
      const parsed = parse(whole.subarray(0, length), 64, undefined, file, Number.POSITIVE_INFINITY)
      expect(parsed).toMatchObject({ records: [], position: 64, badFrom: undefined })
      expect(parsed.need).toBe(length < headerBytes ? headerBytes : whole.byteLength)
    }
  })

  it('leaves out a record that was cut by the next one, wherever it was cut', () => {
    const cut = record('this one is cut')
    for (let length = 1; length < cut.byteLength; length++) {
      expect(texts(Buffer.concat([record('before'), cut.subarray(0, length), record('after')]))).toEqual([
        'before',
        'after',
      ])
    }
  })

  it('leaves out several cut records in a row', () => {
    const cut = record('this one is cut')
    const bytes = Buffer.concat([cut.subarray(0, 50), cut.subarray(0, 3), cut.subarray(0, 42), record('after')])
    expect(texts(bytes)).toEqual(['after'])
  })

  it('tells payloads that hold the mark, or whole records, from records', () => {
    for (const payload of [mark, record('inner'), Buffer.concat([mark, mark]), Buffer.alloc(999, mark)]) {
      const bytes = record(payload)
      expect(bytes.indexOf(mark, 1)).toBe(-1)
      const { records } = parse(bytes, 64, undefined, file, Number.POSITIVE_INFINITY)
      expect(records.map((found) => found.payload)).toEqual([Buffer.from(payload)])
      const cut = Buffer.concat([bytes.subarray(0, bytes.byteLength - 1), record('after')])
      expect(texts(cut)).toEqual(['after'])
    }
  })

  it('leaves out a record that was cut before bytes with which the next one begins', () => {
    for (let length = 1; length < mark.byteLength; length++) {
      const payload = Buffer.concat([Buffer.from('this one is cut'), mark.subarray(0, length)])
      const bytes = record(payload)
      expect(parse(bytes, 64, undefined, file, 1000).records.map((found) => found.payload)).toEqual([payload])
      for (let cut = 1; cut <= length; cut++) {
        expect(texts(Buffer.concat([bytes.subarray(0, -cut), record('after')]))).toEqual(['after'])
      }
    }
  })

  it('takes no record of another log for one', () => {
    const parsed = parse(record('stranger', { seed: 8 }), 64, undefined, file, Number.POSITIVE_INFINITY)
    expect(parsed).toMatchObject({ records: [], badFrom: 64 })
  })

  it('stops at a seal: nothing behind it counts', () => {
    const bytes = Buffer.concat([record('one'), record('', { type: recordTypes.seal }), record('two')])
    const parsed = parse(bytes, 64, undefined, file, Number.POSITIVE_INFINITY)
    expect(parsed.sealed).toBe(true)
    expect(parsed.records).toHaveLength(1)
    expect(parsed.position).toBe(64 + 2 * headerBytes + 3)
  })

  it('leaves out what a writer has vouched for, up to its void record', () => {
    const garbage = Buffer.concat([Buffer.alloc(500), record('not synced, so not acknowledged')])
    const bad = 64 + headerBytes + 3
    const vouched = record(voidPayload(bad), { type: recordTypes.void })
    expect(texts(Buffer.concat([record('one'), garbage, vouched, record('two', { synced: 5000 })]))).toEqual([
      'one',
      'two',
    ])
    const foreign = record(voidPayload(bad + 1), { type: recordTypes.void })
    expect(texts(Buffer.concat([record('one'), garbage, foreign, vouched, record('two')]))).toEqual(['one', 'two'])
  })

  it('refuses damage below what a later record knows to be synced, whoever vouches for it', () => {
    const first = record('acknowledged')
    for (let at = 0; at < first.byteLength; at++) {
      const damaged = Buffer.from(first)
      damaged[at]! ^= 0x10
      const later = record('later', { synced: file.base + 64 + first.byteLength })
      const vouched = record(voidPayload(64), { type: recordTypes.void })
      const bytes = Buffer.concat([damaged, later, vouched])
      expect(() => texts(bytes), `damaged at ${at}`).toThrow(DamagedRecord)
    }
  })

  it('waits where damaged bytes lie at the end, and remembers where they began', () => {
    const bytes = Buffer.concat([record('one'), Buffer.alloc(100)])
    const parsed = parse(bytes, 64, undefined, file, Number.POSITIVE_INFINITY)
    const badFrom = 64 + headerBytes + 3
    expect(parsed).toMatchObject({ badFrom, sealed: false })
    const rest = Buffer.concat([
      bytes.subarray(parsed.position - 64),
      record(voidPayload(badFrom), { type: recordTypes.void }),
      record('two'),
    ])
    const next = parse(rest, parsed.position, parsed.badFrom, file, Number.POSITIVE_INFINITY)
    expect(next.records.map(({ payload }) => payload.toString())).toEqual(['two'])
    expect(next.badFrom).toBeUndefined()
  })

  it('gives about as many bytes as asked, and a larger record alone', () => {
    const bytes = Buffer.concat([record('a'.repeat(10)), record('b'.repeat(10)), record('c'.repeat(100))])
    expect(parse(bytes, 64, undefined, file, 15).records).toHaveLength(1)
    expect(parse(bytes, 64, undefined, file, 20).records).toHaveLength(2)
    expect(parse(bytes, 64, undefined, file, 1).records).toHaveLength(1)
  })

  it('asks for no less than a record claims, whatever its bytes look like', () => {
    const whole = record(Buffer.concat([Buffer.alloc(300, mark[0]), Buffer.from('x')]))
    for (let length = headerBytes; length < whole.byteLength; length++) {
      const { need } = parse(whole.subarray(0, length), 64, undefined, file, Number.POSITIVE_INFINITY)
      expect(need).toBeGreaterThanOrEqual(whole.byteLength)
      expect(need).toBeLessThan(whole.byteLength + mark.byteLength)
    }
  })

  it('takes a length that no record has for damage, instead of asking for so many bytes', () => {
    const largest = record(new Uint8Array(maxPayloadBytes))
    const begin = largest.subarray(0, 1000)
    expect(parse(begin, 64, undefined, file, 1)).toMatchObject({ need: largest.byteLength, badFrom: undefined })
    for (const claimed of [
      record(new Uint8Array(maxPayloadBytes + 1)).subarray(0, 1000),
      // Its header's CRC tells, too.
      ...[28, 29, 30, 31].map((bit) => {
        const rotten = Buffer.from(begin)
        rotten.writeUInt32LE((rotten.readUInt32LE(8) ^ (1 << bit)) >>> 0, 8)
        return rotten
      }),
    ]) {
      const { need, badFrom } = parse(claimed, 64, undefined, file, 1)
      expect(badFrom).toBe(64)
      expect(need).toBeLessThan(100)
      const vouched = record(voidPayload(64), { type: recordTypes.void })
      expect(texts(Buffer.concat([claimed, vouched, record('after')]))).toEqual(['after'])
    }
  })

  it('gives the same wherever what it is given ends, and gets on with as many bytes as it asks for', () => {
    const copy = ({ from, to, nonce, payload }: ParsedRecord): unknown => [from, to, nonce, payload.toString('hex')]
    const inParts = ({ base, bytes }: WrittenFile, split: number): { readonly found: unknown } => {
      const here = { base, seed }
      const first = parse(bytes.subarray(64, split), segmentHeaderBytes, undefined, here, Number.POSITIVE_INFINITY)
      if (first.sealed) return { found: { ...first, records: first.records.map(copy) } }
      const { position, badFrom } = first
      let { need } = first
      expect(need).toBeGreaterThan(split - position)
      // For its header, for all of it, and for where a next one that has cut it would begin.
      for (let asked = 0; position + need <= bytes.byteLength; asked++) {
        expect(asked, 'asked without a step on').toBeLessThan(3)
        expect(need).toBeLessThan(headerBytes + longestPayload + mark.byteLength)
        const enough = bytes.subarray(position, position + need)
        const next = parse(enough, position, badFrom, here, Number.POSITIVE_INFINITY)
        if (next.position > position || next.badFrom !== badFrom || next.sealed) break
        need = next.need
      }
      const rest = parse(bytes.subarray(position), position, badFrom, here, Number.POSITIVE_INFINITY)
      return { found: { ...rest, records: [...first.records, ...rest.records].map(copy) } }
    }
    fc.assert(
      fc.property(writtenLogs, ({ files }) => {
        for (const written of files) {
          const whole = parseWhole(written)
          const expected = { ...whole, records: whole.records.map(copy) }
          for (let split = segmentHeaderBytes; split <= written.bytes.byteLength; split++) {
            const { found } = inParts(written, split)
            expect(found, `split at ${split}`).toEqual(expected)
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  it('reads the same records whatever was cut where, and however the file is read', () => {
    const append = fc.record({
      payload: fc.oneof(fc.uint8Array({ maxLength: 60 }), fc.constant(Uint8Array.from(mark))),
      cut: fc.option(fc.nat(1000), { nil: undefined, freq: 3 }),
    })
    const reread = (bytes: Buffer): ReturnType<typeof parse> =>
      parse(bytes, 0, undefined, { base: 0, seed: file.seed }, Number.POSITIVE_INFINITY)
    fc.assert(
      fc.property(
        fc.array(append, { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1 }),
        (appends, steps) => {
          let whole = Buffer.alloc(0)
          for (const [i, { payload, cut }] of appends.entries()) {
            const bytes = record(payload, { nonce: BigInt(i) })
            whole = Buffer.concat([whole, cut === undefined ? bytes : bytes.subarray(0, cut % bytes.byteLength)])
            if (cut !== undefined) continue
            // Like a writer: what can't be read back is written again, and vouched for.
            const { records, badFrom } = reread(whole)
            if (records.at(-1)?.to === whole.byteLength) continue
            expect(badFrom).toBeDefined()
            whole = Buffer.concat([whole, record(voidPayload(badFrom!), { type: recordTypes.void }), bytes])
          }
          const expected = appends.filter(({ cut }) => cut === undefined).map(({ payload }) => [...payload])
          expect(reread(whole).records.map(({ payload }) => [...payload])).toEqual(expected)
          // As it grows under a reader, a few bytes at a time.
          const read: number[][] = []
          let [position, end]: [number, number] = [0, 0]
          let badFrom: number | undefined
          for (let i = 0; end < whole.byteLength; i++) {
            end = Math.min(whole.byteLength, end + steps[i % steps.length]!)
            const view = whole.subarray(position, end)
            const parsed = parse(view, position, badFrom, { base: 0, seed: file.seed }, Number.POSITIVE_INFINITY)
            read.push(...parsed.records.map(({ payload }) => [...payload]))
            ;({ position, badFrom } = parsed)
          }
          expect(read).toEqual(expected)
        },
      ),
      { numRuns: 3000 },
    )
  })
})
