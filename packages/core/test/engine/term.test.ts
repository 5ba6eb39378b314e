/**
 * A primary's term: "a sealed frame is immutable: same bytes, same seq, for ever"; it is appended again "in order, one outstanding copy each, with back-off"; and the
 * log alone settles what is pending.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { emptyState } from '../../src/engine/admission.js'
import type { CopyState } from '../../src/engine/admission.js'
import { decodeFrame, ENTRY_OVERHEAD_BYTES } from '../../src/engine/frame.js'
import type { DataFrame } from '../../src/engine/frame.js'
import { Term } from '../../src/engine/term.js'
import type { Appendable, TermLimits } from '../../src/engine/term.js'
import { forAll, Tally } from './support.js'
import { TermWorld } from './term-world.js'

const LIMITS: TermLimits = {
  maxFrameBytes: 1_000,
  maxFrameEntries: 100,
  appendsInFlight: 3,
  lingerMs: 0,
  unreadMs: 1_000,
}

type Step = readonly [
  what: 'add' | 'seal' | 'append' | 'land' | 'fail' | 'read' | 'pass' | 'take back' | 'jump',
  pick: number,
  how: 'well' | 'twice' | 'error' | 'silent',
]

const limits: fc.Arbitrary<TermLimits> = fc.record({
  maxFrameBytes: fc.integer({ min: 1, max: 80 }),
  maxFrameEntries: fc.integer({ min: 1, max: 5 }),
  appendsInFlight: fc.integer({ min: 1, max: 4 }),
  lingerMs: fc.constantFrom(0, 0, 5),
  unreadMs: fc.constantFrom(10, 1_000_000),
})
const weighted = (weight: number, ...whats: Step[0][]) => ({ weight, arbitrary: fc.constantFrom(...whats) })
const step: fc.Arbitrary<Step> = fc.tuple(
  fc.oneof(
    weighted(6, 'add', 'seal', 'append', 'land', 'read'),
    weighted(2, 'fail', 'pass'),
    weighted(1, 'take back', 'jump'),
  ),
  fc.nat({ max: 1_000 }),
  fc.constantFrom('well' as const, 'well' as const, 'twice' as const, 'error' as const, 'silent' as const),
)
const schedule = fc.record({ limits, steps: fc.array(step, { minLength: 20, maxLength: 120 }) })

function play(world: TermWorld, steps: readonly Step[], withJumps: boolean): void {
  for (const [what, pick, how] of steps) {
    if (what === 'add') for (let i = 0; i <= pick % 3; i++) world.add(pick % 30)
    if (what === 'seal') world.seal()
    if (what === 'append') world.append()
    if (what === 'land') world.land(pick, how)
    if (what === 'fail') world.fail(pick, how === 'well')
    if (what === 'read') world.read(1 + (pick % 4))
    if (what === 'pass') world.nowMs += pick % 15
    if (what === 'take back') world.takeBack(pick)
    if (what === 'jump' && withJumps) world.jump()
  }
}

describe('over random schedules of appends that fail, land late, twice or in another order', () => {
  test('S4: every sealed entry is counted exactly once and in order, and settled when its own loop reads it', () => {
    const tally = new Tally()
    forAll(schedule, 400, ({ limits, steps }) => {
      const world = new TermWorld(limits, tally)
      play(world, steps, false)
      expect(world.settled).toEqual(world.sealed.slice(0, world.settled.length))
      world.settle()
      expect(world.settled).toEqual(world.sealed)
      expect(world.counted()).toEqual(world.sealed)
      expect(new Set(world.sealed).size).toBe(world.sealed.length)
      tally.add('entries', world.sealed.length)
    })
    tally.expectAll(
      'appended again',
      'landed out of order',
      'landed twice',
      'landed without an answer',
      'lost',
      'timed out',
    )
    tally.expectAll('duplicate', 'ahead', 'taken back', 'sealed', 'sealed in parts')
    expect(tally.get('entries')).toBeGreaterThan(2_000)
  })

  test('S5: a restore over log that was not read settles exactly what the log has counted, and the rest goes on', () => {
    const tally = new Tally()
    forAll(schedule, 400, ({ limits, steps }) => {
      const world = new TermWorld(limits, tally)
      play(world, steps, true)
      world.settle()
      expect(world.settled).toEqual(world.sealed)
      expect(world.counted()).toEqual(world.sealed)
      tally.add('committed unseen', world.unknown.length)
    })
    tally.expectAll('jumped', 'jumped over own entries', 'committed unseen')
  })

  test('a term that ends hands back each pending entry once: what was sealed, and what was not', () => {
    let ends = 0
    forAll(schedule, 200, ({ limits, steps }) => {
      const world = new TermWorld(limits, new Tally())
      play(world, steps, false)
      const { term } = world
      const { pending } = term
      const ended = term.end()
      expect(ended.sealed.map(({ id }) => id)).toEqual(world.sealed.slice(world.settled.length))
      expect(ended.sealed.length + ended.unsealed.length).toBe(pending)
      expect(ended.unsealed.some(({ id }) => world.sealed.includes(id))).toBe(false)
      expect(term.end()).toEqual({ sealed: [], unsealed: [] })
      expect([term.pending, term.phase, term.closed, term.hasOpen, term.hasSealed]).toEqual([
        0,
        'ended',
        true,
        false,
        false,
      ])
      expect([
        term.takeAppendable(Infinity, 1_000_000n),
        term.seal(Infinity, 0),
        term.retryAtMs,
        term.lingersUntilMs,
      ]).toEqual([[], undefined, undefined, undefined])
      ends += pending > 0 ? 1 : 0
    })
    expect(ends).toBeGreaterThan(100)
  })
})

interface Item {
  readonly bytes: Uint8Array
}

const STATE: CopyState = { ...emptyState(), incarnation: 1, epoch: 4, term: 77n, nextIndex: 10, chain: 5n }
const entry = (size = 1): Item => ({ bytes: new Uint8Array(size) })

function termOf(given: Partial<TermLimits> = {}): Term<Item> {
  return new Term<Item>(
    { token: 'orders', incarnation: 1, epoch: 4, term: 77n, nextIndex: 9 },
    { ...LIMITS, ...given },
    123,
  )
}

/** A serving term with one sealed frame per entry; nothing is appended yet. */
function servingWith(frames: number, given: Partial<TermLimits> = {}): Term<Item> {
  const term = termOf({ maxFrameEntries: 1, appendsInFlight: 10, ...given })
  term.serve(STATE)
  for (let i = 0; i < frames; i++) {
    term.add(entry(), 0)
    expect(term.seal(0, 0)).toHaveLength(1)
  }
  return term
}

const seqOf = (item: Appendable): number => (decodeFrame(item.bytes) as DataFrame).firstSeq
const seqs = (items: readonly Appendable[]): number[] => items.map(seqOf)

describe('promotion', () => {
  test('nothing but the barrier is appended before that very barrier was accepted', () => {
    const term = termOf()
    term.add(entry(), 0)
    expect(term.seal(0, 0)).toBeUndefined()
    expect(term.takeAppendable(0, 0n)).toEqual([term.barrier])
    expect(decodeFrame(term.barrier.bytes)).toEqual({
      kind: 'barrier',
      token: 'orders',
      incarnation: 1,
      epoch: 4,
      term: 77n,
      nextIndex: 9,
      timeMs: 123,
    })
    expect(term.takeAppendable(0, 0n)).toEqual([])
    term.serve(STATE)
    expect(term.phase).toBe('serving')
    expect(term.seal(0, 9)).toHaveLength(1)
    const [data] = term.takeAppendable(0, 0n)
    expect(decodeFrame((data as Appendable).bytes)).toMatchObject({
      kind: 'data',
      epoch: 4,
      term: 77n,
      firstSeq: 0,
      firstIndex: 10,
      chain: 5n,
      count: 1,
      timeMs: 9,
    })
    expect(term.takeAppendable(1_000, 1_000n)).toEqual([])
  })

  test('a barrier whose append failed, or that was read past without effect, is appended again', () => {
    const term = termOf()
    term.takeAppendable(0, 0n)
    term.appendFailed(term.barrier, 50)
    expect([term.retryAtMs, term.takeAppendable(49, 0n)]).toEqual([50, []])
    expect(term.takeAppendable(50, 0n)).toEqual([term.barrier])
    term.appended(term.barrier, 7n, 0)
    expect([term.barrier.failures, term.takeAppendable(50, 7n)]).toEqual([0, []])
    expect(term.takeAppendable(50, 8n)).toEqual([term.barrier])
  })

  test('serving begins once: a second barrier that is read does not set the seqs back', () => {
    const term = servingWith(2)
    term.serve({ ...STATE, nextIndex: 99 })
    expect(seqs(term.takeAppendable(0, 0n))).toEqual([0, 1])
    term.add(entry(), 0)
    term.seal(0, 0)
    const [third] = term.takeAppendable(0, 0n)
    expect(decodeFrame((third as Appendable).bytes)).toMatchObject({ firstSeq: 2, firstIndex: 12 })
  })

  test('a term that has ended does not serve any more', () => {
    const term = termOf()
    term.end()
    term.serve(STATE)
    expect(term.phase).toBe('ended')
  })
})

describe('group commit', () => {
  test('the linger is 0 while nothing is in flight', () => {
    const term = termOf({ lingerMs: 20 })
    term.serve(STATE)
    term.add(entry(), 100)
    expect(term.seal(100, 0)).toHaveLength(1)
  })

  test('while something is in flight, entries gather until the linger is over', () => {
    const term = termOf({ lingerMs: 20 })
    term.serve(STATE)
    term.add(entry(), 100)
    term.seal(100, 0)
    term.add(entry(), 105)
    term.add(entry(), 110)
    expect(term.lingersUntilMs).toBe(125)
    expect(term.seal(124.9, 0)).toBeUndefined()
    expect(term.seal(125, 0)).toHaveLength(2)
    expect(term.lingersUntilMs).toBeUndefined()
  })

  test.each([
    ['entries', { maxFrameEntries: 2 }],
    ['bytes', { maxFrameBytes: 2 * (1 + ENTRY_OVERHEAD_BYTES) }],
  ])('a frame that is full of %s does not linger', (_what, full) => {
    const term = termOf({ lingerMs: 20, ...full })
    term.serve(STATE)
    term.add(entry(), 0)
    term.seal(0, 0)
    term.add(entry(), 0)
    expect(term.seal(0, 0)).toBeUndefined()
    term.add(entry(), 0)
    expect(term.seal(0, 0)).toHaveLength(2)
  })

  test('no more frames are under way than the log wants; one that has landed makes room', () => {
    const term = servingWith(2, { appendsInFlight: 2 })
    term.add(entry(), 0)
    expect(term.seal(1_000, 0)).toBeUndefined()
    const [first, second] = term.takeAppendable(0, 0n)
    term.appendFailed(second as Appendable, 10)
    expect(term.seal(1_000, 0)).toBeUndefined()
    term.appended(first as Appendable, 5n, 0)
    expect(term.seal(1_000, 0)).toHaveLength(1)
  })

  test('nothing waits for a linger that could not seal when it ends', () => {
    const term = servingWith(2, { appendsInFlight: 2, lingerMs: 20 })
    term.add(entry(), 0)
    expect(term.lingersUntilMs).toBeUndefined()
    const [first] = term.takeAppendable(0, 0n)
    term.appended(first as Appendable, 5n, 0)
    expect(term.lingersUntilMs).toBe(20)
  })

  test('an entry above the size of a frame has one of its own', () => {
    const term = termOf({ maxFrameBytes: 50 })
    term.serve(STATE)
    for (const size of [10, 500, 10, 10]) term.add(entry(size), 0)
    expect([1, 2, 3].map(() => term.seal(0, 0)?.length)).toEqual([1, 1, 2])
  })

  test('an entry is taken back only before it is sealed, and leaves no trace', () => {
    const term = termOf({ maxFrameBytes: 100 })
    term.serve(STATE)
    const [first, large, last] = [entry(1), entry(90), entry(2)]
    for (const one of [first, large, last]) term.add(one, 0)
    expect([term.takeBack(large), term.takeBack(large), term.pending]).toEqual([true, false, 2])
    expect(term.seal(0, 0)).toEqual([first, last])
    expect([term.takeBack(first), term.pending]).toEqual([false, 2])
  })

  test('what is taken back no longer makes a frame full', () => {
    const term = termOf({ maxFrameBytes: 100, lingerMs: 20 })
    term.serve(STATE)
    term.add(entry(), 0)
    term.seal(0, 0)
    const large = entry(95)
    term.add(large, 0)
    term.add(entry(), 0)
    term.takeBack(large)
    expect(term.seal(0, 0)).toBeUndefined()
  })
})

describe('appending again', () => {
  test('a frame that has landed waits until the loop has read past it', () => {
    const term = servingWith(1)
    const [item] = term.takeAppendable(0, 0n) as [Appendable]
    term.appended(item, 7n, 0)
    for (const readTo of [0n, 6n, 7n]) expect(term.takeAppendable(0, readTo)).toEqual([])
    expect(term.takeAppendable(0, 8n)).toEqual([item])
    expect(item).toMatchObject({ outstanding: true, landedAt: undefined })
  })

  test('the first that has landed and is not read for long is appended once more: the log may have lost it', () => {
    const term = servingWith(2)
    const [first, second] = term.takeAppendable(0, 0n) as [Appendable, Appendable]
    expect(term.missedAtMs).toBeUndefined()
    term.appended(second, 8n, 100)
    term.appended(first, 7n, 300)
    expect([term.missedAtMs, term.takeAppendable(1_299, 0n)]).toEqual([1_300, []])
    expect([term.takeAppendable(1_300, 0n), term.missedAtMs]).toEqual([[first], undefined])
    // The next time it is waited for twice as long: the reader may only be behind.
    term.appended(first, 9n, 1_400)
    expect([term.missedAtMs, term.takeAppendable(3_399, 0n), term.takeAppendable(3_400, 0n)]).toEqual([
      3_400,
      [],
      [first],
    ])
    term.counted(0)
    expect([term.missedAtMs, term.takeAppendable(3_400, 0n)]).toEqual([1_100, [second]])
  })

  test('so is a barrier', () => {
    const term = termOf()
    expect(term.takeAppendable(0, 0n)).toEqual([term.barrier])
    term.appended(term.barrier, 7n, 50)
    expect([term.missedAtMs, term.takeAppendable(1_049, 0n)]).toEqual([1_050, []])
    expect(term.takeAppendable(1_050, 0n)).toEqual([term.barrier])
  })

  test('while one waits out its pause, nothing behind it is appended', () => {
    const term = servingWith(3)
    const [first, second, third] = term.takeAppendable(0, 0n) as [Appendable, Appendable, Appendable]
    term.appendFailed(third, 5)
    term.appendFailed(second, 40)
    term.appended(first, 1n, 0)
    expect([term.retryAtMs, term.takeAppendable(39, 0n)]).toEqual([40, []])
    expect(term.takeAppendable(40, 0n)).toEqual([second, third])
    expect(term.retryAtMs).toBeUndefined()
  })

  test('a frame that was read too early goes out behind the one that it needs, in order', () => {
    const term = servingWith(2)
    const [first, second] = term.takeAppendable(0, 0n) as [Appendable, Appendable]
    term.appended(second, 1n, 0)
    term.appendFailed(first, 30)
    expect(term.takeAppendable(29, 2n)).toEqual([])
    expect(seqs(term.takeAppendable(30, 2n))).toEqual([0, 1])
  })

  test('a frame that was read too early is not appended again while one before it is on its way: it could not count', () => {
    const term = servingWith(3)
    const [first, second, third] = term.takeAppendable(0, 0n) as [Appendable, Appendable, Appendable]
    term.appended(second, 1n, 0)
    term.appended(third, 2n, 0)
    expect(seqs(term.takeAppendable(0, 3n))).toEqual([])
    term.appended(first, 4n, 0)
    expect(seqs(term.takeAppendable(0, 3n))).toEqual([1, 2])
  })

  test('failures are counted in a row, for the back-off to grow', () => {
    const term = servingWith(1)
    const [item] = term.takeAppendable(0, 0n) as [Appendable]
    for (const failures of [1, 2, 3]) {
      term.appendFailed(item, 0)
      expect(item.failures).toBe(failures)
      expect(term.takeAppendable(0, 0n)).toEqual([item])
    }
    term.appended(item, 1n, 0)
    expect(item.failures).toBe(0)
  })

  test('a frame that has counted is not appended again, and its late answer harms nothing', () => {
    const term = servingWith(2)
    const [first] = term.takeAppendable(0, 0n) as [Appendable]
    expect(term.counted(0)).toHaveLength(1)
    term.appendFailed(first, 0)
    expect(term.takeAppendable(100, 100n)).toEqual([])
    expect(term.counted(0)).toEqual([])
    expect(term.counted(1)).toHaveLength(1)
  })
})

describe('stepping down', () => {
  test('a closed term gives back what is not sealed, and sees what is sealed through', () => {
    const term = servingWith(1)
    const late = entry()
    term.add(late, 0)
    expect(term.close()).toEqual([late])
    expect([term.closed, term.pending, term.hasSealed, term.hasOpen]).toEqual([true, 1, true, false])
    const [item] = term.takeAppendable(0, 0n) as [Appendable]
    term.appendFailed(item, 5)
    expect(term.takeAppendable(5, 0n)).toEqual([item])
    expect(term.counted(0)).toHaveLength(1)
    expect(term.close()).toEqual([])
  })
})

describe('a restore over log that was not read', () => {
  const own = { ...STATE, nextSeq: 0 }

  test.each<[string, Partial<CopyState>]>([
    ['another incarnation', { incarnation: 2, epoch: 1 }],
    ['a higher epoch', { epoch: 5 }],
    ["another term's barrier of the same epoch", { term: 78n }],
  ])('to %s is the end of the term', (_where, at) => {
    const term = servingWith(2)
    expect(term.jumped({ ...own, ...at })).toBeUndefined()
    expect(term.end().sealed).toHaveLength(2)
  })

  test.each<[string, Partial<CopyState>]>([
    ['an older epoch', { epoch: 3, term: 66n, nextSeq: 9 }],
    ['an older incarnation', { incarnation: 0, epoch: 9, nextSeq: 9 }],
  ])('to %s settles nothing: the own barrier is still to come', (_where, at) => {
    const term = termOf()
    term.add(entry(), 0)
    expect(term.jumped({ ...own, ...at })).toEqual([])
    expect([term.phase, term.pending]).toEqual(['barrier', 1])
  })

  test('within the own term: what is below nextSeq is committed, the rest still pending', () => {
    for (const nextSeq of [0, 1, 2, 3]) {
      const term = servingWith(3)
      expect(term.jumped({ ...own, nextSeq })).toHaveLength(nextSeq)
      expect(term.pending).toBe(3 - nextSeq)
      expect(seqs(term.takeAppendable(0, 0n))).toEqual([0, 1, 2].slice(nextSeq))
    }
  })

  test("the own barrier counts as accepted if the snapshot's term is the own", () => {
    const term = termOf()
    expect(term.jumped({ ...own, nextIndex: 42, chain: 6n })).toEqual([])
    expect(term.phase).toBe('serving')
    term.add(entry(), 0)
    term.seal(0, 0)
    const [item] = term.takeAppendable(0, 0n) as [Appendable]
    expect(decodeFrame(item.bytes)).toMatchObject({ firstSeq: 0, firstIndex: 42, chain: 6n })
  })
})
