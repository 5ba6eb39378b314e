/**
 * When a copy is snapshotted, and what is kept: "newest = greatest (incarnation, index), not time. Kept = the newest k verified ones; with fewer than k nothing is
 * truncated or deleted; else truncate below the oldest kept".
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SnapshotRef } from '../../src/contract/index.js'
import { coverage, newestFirst, retention, snapshotDue } from '../../src/engine/snapshot-policy.js'
import { forAll, Tally } from './support.js'
import { refOf } from './snapshots.js'

describe('a snapshot is due', () => {
  const cadence = { everyEntries: 100, everyBytes: 5_000, everyMs: 30_000 }
  const due = (entries: number, bytes: number, ms: number, jitter = 0) =>
    snapshotDue({ entries, bytes, ms }, cadence, jitter)

  test('at whichever comes first of entries, bytes and time', () => {
    expect([due(99, 0, 0), due(100, 0, 0)]).toEqual([false, true])
    expect([due(1, 4_999, 0), due(1, 5_000, 0)]).toEqual([false, true])
    expect([due(1, 0, 29_999), due(1, 0, 30_000)]).toEqual([false, true])
  })

  test('never without a new entry', () => {
    expect([due(0, 0, Infinity), due(0, 1e9, Infinity)]).toEqual([false, false])
  })

  test('by time with a jitter of up to a fifth, which moves neither entries nor bytes', () => {
    expect([due(1, 0, 32_999, 0.5), due(1, 0, 33_000, 0.5)]).toEqual([false, true])
    expect([due(1, 0, 35_000, 0.999), due(1, 0, 36_000, 0.999)]).toEqual([false, true])
    expect([due(100, 0, 0, 0.999), due(1, 5_000, 0, 0.999)]).toEqual([true, true])
  })
})

interface Case {
  readonly refs: readonly SnapshotRef[]
  readonly verified: ReadonlySet<string>
  readonly incarnation: number
  readonly keep: number
}

/** Ids and times in an order of their own, and offsets that do not always grow with the positions. */
const someRefs = fc
  .array(
    fc.record({
      incarnation: fc.constantFrom(1, 2, 2, 2, 3),
      nextIndex: fc.nat({ max: 12 }),
      offset: fc.nat({ max: 40 }),
      takenAtMs: fc.nat({ max: 1_000 }),
      verified: fc.boolean(),
      nonce: fc.stringMatching(/^[a-z0-9]{4}$/),
    }),
    { maxLength: 10 },
  )
  .map((list) =>
    list.map(({ nonce, verified, offset, ...meta }, at) => ({
      verified,
      ref: refOf(`${nonce}-${at}`, meta.nextIndex, {
        ...meta,
        anchor: { offset: String(meta.nextIndex * 10 + offset), checksum: 1 },
      }),
    })),
  )

const someCase: fc.Arbitrary<Case> = fc
  .record({ list: someRefs, keep: fc.integer({ min: 2, max: 4 }) })
  .map(({ list, keep }) => ({
    refs: list.map(({ ref }) => ref),
    verified: new Set(list.filter(({ verified }) => verified).map(({ ref }) => ref.meta.id)),
    incarnation: 2,
    keep,
  }))

/** Whether `a` holds more than `b`. */
function holdsMore({ meta: a }: SnapshotRef, { meta: b }: SnapshotRef): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && a.nextIndex > b.nextIndex)
}

const anchorOf = ({ meta }: SnapshotRef): bigint => BigInt(meta.anchor.offset)

describe('retention, over random sets of snapshots', () => {
  test('S8: with fewer than k verified snapshots of the incarnation nothing is truncated or removed', () => {
    const tally = new Tally()
    forAll(someCase, 2_000, ({ refs, verified, incarnation, keep }) => {
      const counted = refs.filter(({ meta }) => meta.incarnation === incarnation && verified.has(meta.id))
      const { kept, remove, truncateBefore } = retention(refs, verified, { incarnation, identity: 'uuid-1' }, keep)
      tally.add(counted.length < keep ? 'too few' : 'enough')
      expect(truncateBefore === undefined).toBe(counted.length < keep)
      if (counted.length < keep) expect(remove).toEqual([])
      expect(kept.length).toBe(Math.min(keep, counted.length))
    })
    expect(tally.get('too few')).toBeGreaterThan(200)
    expect(tally.get('enough')).toBeGreaterThan(200)
  })

  test('S8: the log is truncated below the anchor of every kept snapshot, and only of verified ones', () => {
    let truncated = 0
    forAll(someCase, 2_000, ({ refs, verified, incarnation, keep }) => {
      const { kept, truncateBefore } = retention(refs, verified, { incarnation, identity: 'uuid-1' }, keep)
      expect(kept.every(({ meta }) => verified.has(meta.id) && meta.incarnation === incarnation)).toBe(true)
      if (truncateBefore === undefined) return
      truncated += 1
      const range = { start: truncateBefore, end: 10_000n }
      expect(kept.map((ref) => coverage(ref, incarnation, 'uuid-1', range))).toEqual(kept.map(() => 'covered'))
      expect(kept.map(anchorOf)).toContain(truncateBefore)
    })
    expect(truncated).toBeGreaterThan(200)
  })

  test('what is kept holds the most, whatever the times and ids say', () => {
    forAll(someCase, 1_000, ({ refs, verified, incarnation, keep }) => {
      const { kept } = retention(refs, verified, { incarnation, identity: 'uuid-1' }, keep)
      const others = refs.filter(
        (ref) => verified.has(ref.meta.id) && ref.meta.incarnation === incarnation && !kept.includes(ref),
      )
      expect(others.some((other) => kept.some((ref) => holdsMore(other, ref)))).toBe(false)
    })
  })

  test('only what is older than everything that is kept is removed: newer ones stay, verified or not', () => {
    const tally = new Tally()
    forAll(someCase, 2_000, ({ refs, verified, incarnation, keep }) => {
      const { kept, remove } = retention(refs, verified, { incarnation, identity: 'uuid-1' }, keep)
      for (const ref of remove) {
        expect(kept.some((one) => one === ref || holdsMore(ref, one))).toBe(false)
        expect(ref.meta.incarnation).toBeLessThanOrEqual(incarnation)
        tally.add(
          ref.meta.incarnation < incarnation
            ? 'of an older incarnation'
            : verified.has(ref.meta.id)
              ? 'verified'
              : 'unverified',
        )
      }
      if (remove.length === 0) return
      for (const ref of refs) {
        const older = kept.every((one) => holdsMore(one, ref))
        if (older) expect(remove).toContain(ref)
        if (!older && !verified.has(ref.meta.id) && ref.meta.incarnation === incarnation) tally.add('newer, unverified')
      }
    })
    tally.expectAll('of an older incarnation', 'verified', 'unverified', 'newer, unverified')
  })

  test('carrying it out, and then again, removes nothing more', () => {
    forAll(someCase, 500, ({ refs, verified, incarnation, keep }) => {
      const first = retention(refs, verified, { incarnation, identity: 'uuid-1' }, keep)
      const left = refs.filter((ref) => !first.remove.includes(ref))
      expect(retention(left, verified, { incarnation, identity: 'uuid-1' }, keep)).toEqual({ ...first, remove: [] })
    })
  })
})

describe('retention, case by case', () => {
  const ids = (refs: readonly SnapshotRef[]): string[] => refs.map(({ meta }) => meta.id)
  const OF_1 = { incarnation: 1, identity: 'uuid-1' }
  const OF_2 = { incarnation: 2, identity: 'uuid-1' }

  test('keeps the newest two that were verified, and truncates at the anchor of the older', () => {
    const refs = [refOf('a', 10), refOf('b', 20), refOf('c', 30), refOf('d', 40)]
    const result = retention(refs, new Set(['a', 'b', 'c']), OF_1, 2)
    expect([ids(result.kept), ids(result.remove), result.truncateBefore]).toEqual([['c', 'b'], ['a'], 1_200n])
  })

  test('an unverified snapshot between two kept ones stays, and counts for nothing', () => {
    const refs = [refOf('a', 10), refOf('b', 20), refOf('c', 30), refOf('d', 40)]
    const result = retention(refs, new Set(['a', 'b', 'd']), OF_1, 2)
    expect([ids(result.kept), ids(result.remove), result.truncateBefore]).toEqual([['d', 'b'], ['a'], 1_200n])
  })

  test('snapshots of a deleted incarnation count for nothing, and go once the present one has enough', () => {
    const old = [refOf('x', 900), refOf('y', 901)]
    const now = [refOf('a', 1, { incarnation: 2 }), refOf('b', 2, { incarnation: 2 })]
    const all = new Set(['x', 'y', 'a', 'b'])
    expect(retention([...old, ...now.slice(0, 1)], all, OF_2, 2)).toMatchObject({
      remove: [],
      truncateBefore: undefined,
    })
    expect(ids(retention([...old, ...now], all, OF_2, 2).remove)).toEqual(['y', 'x'])
  })

  test('snapshots of another log of the same incarnation count for nothing, and are not removed', () => {
    const elsewhere = { log: { address: 'log-2', identity: 'uuid-2' } }
    const refs = [refOf('a', 10), refOf('x', 15, elsewhere), refOf('b', 20), refOf('y', 99, elsewhere)]
    const all = new Set(['a', 'b', 'x', 'y'])
    expect(retention(refs.slice(1), all, OF_1, 2)).toMatchObject({ remove: [], truncateBefore: undefined })
    const result = retention([...refs, refOf('c', 30)], all.add('c'), OF_1, 2)
    expect([ids(result.kept), ids(result.remove), result.truncateBefore]).toEqual([['c', 'b'], ['a'], 1_200n])
  })

  test("a later incarnation's snapshots are not its business", () => {
    const refs = [refOf('a', 1), refOf('b', 2), refOf('c', 3), refOf('z', 0, { incarnation: 2 })]
    const result = retention(refs, new Set(['a', 'b', 'c', 'z']), OF_1, 2)
    expect([ids(result.kept), ids(result.remove)]).toEqual([['c', 'b'], ['a']])
  })

  test('offsets are numbers of any size, not text', () => {
    const at = (offset: string) => ({ anchor: { offset, checksum: 1 } })
    const refs = [refOf('a', 1, at('9')), refOf('b', 2, at('10')), refOf('c', 3, at('18446744073709551617'))]
    expect(retention(refs, new Set(['a', 'b', 'c']), OF_1, 2).truncateBefore).toBe(10n)
    expect(retention(refs.slice(1), new Set(['b', 'c']), OF_1, 2).truncateBefore).toBe(10n)
    expect(coverage(refs[2] as SnapshotRef, 1, 'uuid-1', { start: 0n, end: 18446744073709551617n })).toBe('beyond')
  })
})

test('newest first: by incarnation, then position, then id; a copy of the list', () => {
  const refs = [
    refOf('b', 5, { takenAtMs: 9 }),
    refOf('z', 4, { takenAtMs: 10 }),
    refOf('a', 5, { takenAtMs: 11 }),
    refOf('c', 1, { incarnation: 2, takenAtMs: 0 }),
  ]
  const before = [...refs]
  expect(newestFirst(refs).map(({ meta }) => meta.id)).toEqual(['c', 'b', 'a', 'z'])
  expect(refs).toEqual(before)
})

describe('a snapshot can restore a copy', () => {
  const ref = refOf('a', 10)

  test.each([
    ['when the log holds its anchor and what follows', 1_100n, 1_101n, 'covered'],
    ['when the log holds more', 0n, 9_999n, 'covered'],
    ['not when the log starts above the anchor: records are missing', 1_101n, 9_999n, 'below'],
    ['not when the log ends at the anchor: it has lost records', 0n, 1_100n, 'beyond'],
    ['not when the log is empty and ends below the anchor', 5n, 5n, 'beyond'],
    ['not when the log is empty and starts above the anchor', 5_000n, 5_000n, 'below'],
  ])('%s', (_when, start, end, expected) => {
    expect(coverage(ref, 1, 'uuid-1', { start, end })).toBe(expected)
  })

  test('not when it is of an older incarnation, or of another log', () => {
    const range = { start: 0n, end: 9_999n }
    expect([coverage(ref, 2, 'uuid-1', range), coverage(ref, 1, 'uuid-2', range)]).toEqual(['other', 'other'])
  })

  test('also when it is of a newer incarnation than was assigned', () => {
    expect(coverage({ ...ref, meta: { ...ref.meta, incarnation: 3 } }, 1, 'uuid-1', { start: 0n, end: 9_999n })).toBe(
      'covered',
    )
  })
})
