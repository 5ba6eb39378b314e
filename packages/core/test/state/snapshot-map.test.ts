/** Checks the snapshot map against a plain Map, with captures in between. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isKagamiError } from '../../src/contract/index.js'
import { snapshotMap } from '../../src/state/index.js'
import type { CapturedMap, SnapshotMap } from '../../src/state/index.js'

type Op =
  | { readonly do: 'set' | 'delete'; readonly key: string; readonly value: number }
  | { readonly do: 'clear' | 'capture' | 'release' | 'iterate'; readonly pick: number }

/** Few enough keys that they meet again, in shapes that hashes and prefixes find hard. */
const key = fc.oneof(
  fc.integer({ min: 0, max: 300 }).map((n) => `user:${String(n).padStart(6, '0')}`),
  fc.integer({ min: 0, max: 40 }).map((n) => 'a'.repeat(n)),
  fc.constantFrom('', '\0', '\0\0', '__proto__', 'constructor', '\ud800', '\udc00', '\uffff', '😀', 'é', 'e\u0301'),
)

const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 200, arbitrary: fc.record({ do: fc.constant('set' as const), key, value: fc.integer() }) },
  { weight: 100, arbitrary: fc.record({ do: fc.constant('delete' as const), key, value: fc.constant(0) }) },
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constantFrom('capture' as const, 'release' as const, 'iterate' as const),
      pick: fc.nat(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const), pick: fc.nat() }) },
)

const ops = fc.array(op, { maxLength: 400, size: 'max' })

function sorted<V>(map: ReadonlyMap<string, V>): [string, V][] {
  return [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
}

function fill<V>(map: SnapshotMap<V>, entries: Iterable<readonly [string, V]>): SnapshotMap<V> {
  for (const [key, value] of entries) map.set(key, value)
  return map
}

/** Distinct keys in an order that looks random and is always the same. */
function scattered(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${(Math.imul(index, 2654435761) >>> 0).toString(36)}/${index}`)
}

describe('snapshotMap', () => {
  test('holds what a plain Map holds, and every view what the map held when it was captured', () => {
    fc.assert(
      fc.property(ops, (list) => {
        const map = snapshotMap<number>()
        const model = new Map<string, number>()
        const views: { view: CapturedMap<number>; expected: [string, number][] }[] = []
        const iterations: { rest: IterableIterator<readonly [string, number]>; expected: [string, number][] }[] = []
        for (const step of list) {
          switch (step.do) {
            case 'set':
              map.set(step.key, step.value)
              model.set(step.key, step.value)
              break
            case 'delete':
              expect(map.delete(step.key)).toBe(model.delete(step.key))
              break
            case 'clear':
              map.clear()
              model.clear()
              break
            case 'capture':
              views.push({ view: map.capture(), expected: sorted(model) })
              break
            case 'release':
              views.splice(step.pick % Math.max(1, views.length), 1).forEach(({ view }) => view.release())
              break
            case 'iterate':
              iterations.push({ rest: map.entries(), expected: sorted(model) })
          }
          if ('key' in step) expect(map.get(step.key)).toBe(model.get(step.key))
          expect(map.size).toBe(model.size)
        }
        expect([...map]).toEqual(sorted(model))
        for (const { view, expected } of views) {
          expect(view.size).toBe(expected.length)
          expect([...view]).toEqual(expected)
          for (const [key, value] of expected) expect(view.get(key)).toBe(value)
        }
        for (const { rest, expected } of iterations) expect([...rest]).toEqual(expected)
      }),
      { numRuns: 300 },
    )
  })

  test('iterates in the order of the keys, whatever the history', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(key, fc.integer()), { selector: ([k]) => k, maxLength: 300 }),
        ops,
        (entries, history) => {
          const straight = fill(snapshotMap<number>(), entries)
          const winding = snapshotMap<number>()
          for (const step of history) {
            if (step.do === 'set') winding.set(step.key, step.value)
            else if (step.do === 'delete') winding.delete(step.key)
            else if (step.do === 'capture') winding.capture()
          }
          for (const [key] of winding) if (!straight.has(key)) winding.delete(key)
          fill(winding, [...entries].reverse())
          expect([...winding]).toEqual([...straight])
          expect([...straight]).toEqual(sorted(new Map(entries)))
        },
      ),
    )
  })

  test('gives the entries of a range, without its end', () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 300 }), key, key, (keys, from, to) => {
        const map = fill(
          snapshotMap<string>(),
          keys.map((key) => [key, key]),
        )
        const all = [...map].map(([key]) => key)
        expect([...map.entries({ from, to })].map(([key]) => key)).toEqual(all.filter((key) => key >= from && key < to))
        expect([...map.capture().entries({ from })].map(([key]) => key)).toEqual(all.filter((key) => key >= from))
        expect([...map.entries({ to })].map(([key]) => key)).toEqual(all.filter((key) => key < to))
      }),
    )
  })

  test('holds a hundred thousand entries through growth, captures and deletion', () => {
    const keys = scattered(100_000)
    const map = fill(
      snapshotMap<number>(),
      keys.map((key, index) => [key, index]),
    )
    const full = map.capture()
    keys.forEach((key, index) => index % 3 !== 0 && map.delete(key))
    const third = map.capture()
    keys.forEach((key, index) => map.set(key, -index))
    expect(full.size).toBe(100_000)
    expect(keys.every((key, index) => full.get(key) === index)).toBe(true)
    expect(third.size).toBe(33_334)
    expect(keys.every((key, index) => third.get(key) === (index % 3 === 0 ? index : undefined))).toBe(true)
    expect(keys.every((key, index) => map.get(key) === -index)).toBe(true)
    keys.forEach((key) => map.delete(key))
    expect([map.size, [...map].length]).toEqual([0, 0])
    expect([...full].length).toBe(100_000)
  })

  test('tells a key with the value undefined from a missing one', () => {
    const map = fill(snapshotMap<undefined>(), [['there', undefined]])
    expect([map.has('there'), map.has('missing'), map.size]).toEqual([true, false, 1])
    const view = map.capture()
    expect(map.delete('there')).toBe(true)
    expect([view.has('there'), view.has('missing')]).toEqual([true, false])
  })

  test('refuses a key that is not a string, which would have no place in the order', () => {
    const map = snapshotMap<number>()
    expect(() => map.set(7 as unknown as string, 1)).toThrow(
      expect.objectContaining({ code: 'KAGAMI_BAD_OPTION', message: 'option key is 7; expected a string' }),
    )
    expect([...map]).toEqual([])
  })

  test('a view that was released can not be read, also by an iteration that had begun', () => {
    const map = fill(
      snapshotMap<number>(),
      scattered(100).map((key) => [key, 1]),
    )
    const view = map.capture()
    const begun = view.entries()
    begun.next()
    view.release()
    view.release()
    const reads = [() => begun.next(), () => view.entries(), () => [...view], () => view.get('a'), () => view.has('a')]
    for (const read of reads) {
      expect(read).toThrow(expect.objectContaining({ code: 'KAGAMI_SNAPSHOT_FAILED' }))
    }
    expect(
      isKagamiError(
        thrownBy(() => view.get('a')),
        'KAGAMI_SNAPSHOT_FAILED',
      ),
    ).toBe(true)
  })

  test('a release gives nothing up that another view still shows', () => {
    const map = fill(snapshotMap<number>(), [['a', 1]])
    const first = map.capture()
    map.set('a', 2)
    const second = map.capture()
    map.set('a', 3)
    const third = map.capture()
    second.release()
    map.set('a', 4)
    third.release()
    map.set('a', 5)
    expect([first.get('a'), map.get('a')]).toEqual([1, 5])
    first.release()
    map.set('a', 6)
    expect(map.get('a')).toBe(6)
  })

  test('a map may be changed while it is iterated, as it was then', () => {
    const keys = scattered(1000)
    const map = fill(
      snapshotMap<number>(),
      keys.map((key) => [key, 1]),
    )
    const seen: string[] = []
    for (const [key] of map) {
      seen.push(key)
      map.delete(key)
      map.set(`${key}+`, 2)
    }
    expect(seen).toEqual([...keys].sort())
    expect(map.size).toBe(1000)
  })
})

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return undefined
}
