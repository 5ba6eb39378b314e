/**
 * Which frames count: "open: accepted iff inc > incarnation; barrier: iff inc is current and e > epoch; data: iff (inc, e, term) is in force and
 * firstSeq = nextSeq; marker: never changes state", and "so a zombie's writes, retries, duplicates and reorderings are harmless".
 */
import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { admit, compareEpochs, emptyState } from '../../src/engine/admission.js'
import type { CopyState, Verdict } from '../../src/engine/admission.js'
import { chainAfterBarrier, chainAfterData, chainOfOpen } from '../../src/engine/chain.js'
import { decodeEntries } from '../../src/engine/frame.js'
import type { Frame } from '../../src/engine/frame.js'
import { barrierFrame, dataFrame, levelFrame, markerFrame, openFrame, text } from './frames.js'
import { ReferenceLog } from './reference-log.js'
import type { Written } from './reference-log.js'
import { forAll, Tally } from './support.js'

const HARMLESS: readonly Verdict[] = [
  'foreign',
  'old-incarnation',
  'old-epoch',
  'old-term',
  'duplicate',
  'ahead',
  'old-level',
  'deleted',
]
const COUNTS: readonly Verdict[] = ['opened', 'barrier', 'data', 'level']

function entriesOf(frame: Frame): string[] {
  return frame.kind === 'data'
    ? decodeEntries(frame.body, frame.count).map((entry) => Buffer.from(entry).toString())
    : []
}

function coarse(verdict: Verdict): ReturnType<ReferenceLog['read']> {
  if (verdict === 'gap' || verdict === 'diverged') return verdict
  if (verdict === 'marker') return 'nothing'
  return COUNTS.includes(verdict) ? 'accepted' : 'harmless'
}

/** What a random writer does. Small numbers are offsets from what would be right, so that most frames nearly count. */
interface Act {
  readonly what: 'open' | 'barrier' | 'data' | 'level' | 'marker' | 'again' | 'foreign'
  readonly incarnation: number
  readonly epoch: number
  readonly term: number
  readonly seq: number
  readonly entries: readonly string[]
  readonly astray: number
  readonly deleted: boolean
  readonly pick: number
}

const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, { weight: 2, arbitrary: fc.constantFrom(...others) })

const act: fc.Arbitrary<Act> = fc.record({
  what: fc.oneof(
    { weight: 10, arbitrary: fc.constant('data' as const) },
    { weight: 3, arbitrary: fc.constant('barrier' as const) },
    { weight: 4, arbitrary: fc.constant('again' as const) },
    { weight: 3, arbitrary: fc.constantFrom('open' as const, 'level' as const, 'marker' as const, 'foreign' as const) },
  ),
  incarnation: mostly(0, 0, 0, 1, -1),
  epoch: mostly(0, 1, -1, 2),
  term: mostly(0, 1, 2),
  seq: mostly(0, 0, -1, 1, 2),
  entries: fc.array(fc.string({ maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  astray: fc.oneof({ weight: 40, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constantFrom(1, 2) }),
  deleted: mostly(false, false, false, true),
  pick: fc.nat(),
})

/** The frame of an act, seen from where the log stands; also with what its writer believes to be the history. */
function written(by: Act, log: ReferenceLog, state: CopyState, before: readonly Written[]): Written {
  const old = before[by.pick % Math.max(1, before.length)]
  if (by.what === 'again' && old !== undefined) return old
  const incarnation = Math.max(1, log.incarnation + by.incarnation)
  const head = { incarnation, token: by.what === 'foreign' ? 'others' : 'orders' }
  const believes = by.astray === 1 ? `${log.history}, and more` : log.history
  const chain = by.astray === 1 ? state.chain ^ 1n : state.chain
  const epoch = Math.max(1, log.epoch + by.epoch)
  const term = by.term === 0 ? log.term || 1n : BigInt(by.pick % 5) + 1n
  switch (by.what) {
    case 'open':
      return {
        frame: openFrame({ ...head, incarnation: Math.max(1, incarnation + (by.pick % 2)), deleted: by.deleted }),
        believes,
      }
    case 'barrier': {
      const nextIndex = Math.max(0, log.entries.length + by.seq)
      return {
        frame: barrierFrame({ ...head, epoch: epoch + (by.pick % 2), term: BigInt(by.pick % 5) + 1n, nextIndex }),
        believes,
      }
    }
    case 'level':
      return { frame: levelFrame({ ...head, epoch, term, level: 1 + (by.pick % 4) }), believes }
    case 'marker':
      return { frame: markerFrame({ ...head, nonce: BigInt(by.pick) }), believes }
    case 'again':
    case 'foreign':
    case 'data': {
      const firstSeq = Math.max(0, log.seqs.length + by.seq)
      const firstIndex = log.entries.length + (by.astray === 2 ? 1 : 0)
      return { frame: dataFrame(by.entries.map(text), { ...head, epoch, term, firstSeq, firstIndex, chain }), believes }
    }
  }
}

/** Runs acts against a log that both rules read. A copy would stop at a gap; the rule itself has an answer for what follows. */
function play(
  acts: readonly Act[],
  onRead: (frame: Frame, verdict: Verdict, before: CopyState, after: CopyState) => void,
): Frame[] {
  const log = new ReferenceLog('orders')
  const state = emptyState()
  const frames: Written[] = []
  for (const by of acts) {
    const next = written(log.incarnation === 0 || log.epoch === 0 ? opening(by, log) : by, log, state, frames)
    frames.push(next)
    const before = { ...state }
    const verdict = admit(state, 'orders', next.frame)
    const expected = log.read(next, entriesOf)
    expect(coarse(verdict), `${verdict} for ${next.frame.kind}`).toBe(expected)
    onRead(next.frame, verdict, before, state)
    const { incarnation, epoch, term, level, deleted } = log
    expect(state).toMatchObject({
      incarnation,
      epoch,
      term,
      level,
      deleted,
      nextSeq: log.seqs.length,
      nextIndex: log.entries.length,
    })
  }
  return frames.map(({ frame }) => frame)
}

/** Where nothing is open yet, almost everyone would be too early. */
function opening(by: Act, log: ReferenceLog): Act {
  if (by.what === 'foreign' || by.pick % 8 === 0) return by
  return { ...by, what: log.incarnation === 0 || log.deleted ? 'open' : 'barrier', incarnation: log.deleted ? 1 : 0 }
}

const acts = fc.array(act, { minLength: 5, maxLength: 40 })

describe('over random logs of zombies, duplicates and reordered frames', () => {
  test('what counts is what a second, independently written rule says, and every reason occurs', () => {
    const tally = new Tally()
    forAll(acts, 1_500, (list) => {
      play(list, (_frame, verdict) => tally.add(verdict))
    })
    tally.expectAll(...HARMLESS, ...COUNTS, 'marker', 'gap', 'diverged')
    expect(tally.get('data')).toBeGreaterThan(3_000)
  })

  test('S3: incarnations and epochs only grow, and the term changes only with them', () => {
    let barriers = 0
    forAll(acts, 400, (list) => {
      play(list, (_frame, verdict, before, after) => {
        const grown = compareEpochs(after, before)
        expect(grown).toBeGreaterThanOrEqual(0)
        expect(grown > 0).toBe(verdict === 'opened' || verdict === 'barrier')
        if (grown === 0) expect(after.term).toBe(before.term)
        if (verdict === 'barrier') barriers += 1
      })
    })
    expect(barriers).toBeGreaterThan(500)
  })

  test('a frame that does not count changes nothing at all', () => {
    let ignored = 0
    forAll(acts, 400, (list) => {
      play(list, (_frame, verdict, before, after) => {
        if (COUNTS.includes(verdict)) return
        expect(after).toEqual(before)
        ignored += 1
      })
    })
    expect(ignored).toBeGreaterThan(1_000)
  })

  test('a log with the harmless frames taken out reads the same', () => {
    forAll(acts, 400, (list) => {
      const counted: Frame[] = []
      let last = emptyState()
      play(list, (frame, verdict, _before, after) => {
        last = { ...after }
        if (!HARMLESS.includes(verdict)) counted.push(frame)
      })
      const state = emptyState()
      for (const frame of counted) admit(state, 'orders', frame)
      expect(state).toEqual(last)
    })
  })

  test('S7: reading on from a state that was kept at any point gives the same as reading everything', () => {
    forAll(fc.tuple(acts, fc.nat()), 400, ([list, at]) => {
      const verdicts: Verdict[] = []
      const frames = play(list, (_frame, verdict) => verdicts.push(verdict))
      const kept = emptyState()
      const cut = at % frames.length
      for (const frame of frames.slice(0, cut)) admit(kept, 'orders', frame)
      const restored = structuredClone(kept)
      expect(frames.slice(cut).map((frame) => admit(restored, 'orders', frame))).toEqual(verdicts.slice(cut))
    })
  })

  test('S4: frames of one term in any order, and any number of times, count once each and in order', () => {
    const order = fc.tuple(
      fc.array(fc.array(fc.string(), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.nat(), { maxLength: 60 }),
    )
    let complete = 0
    forAll(order, 1_000, ([groups, picks]) => {
      const state = emptyState()
      admit(state, 'orders', openFrame())
      admit(state, 'orders', barrierFrame({ term: 9n }))
      let { nextSeq: firstSeq, chain } = state
      const frames = groups.map((group) => {
        const frame = dataFrame(group.map(text), { term: 9n, firstSeq, firstIndex: firstSeq, chain })
        firstSeq += group.length
        chain = chainAfterData(chain, frame.body)
        return frame
      })
      const applied: string[] = []
      for (const pick of picks) {
        const frame = frames[pick % frames.length] as (typeof frames)[number]
        const verdict = admit(state, 'orders', frame)
        expect(['data', 'duplicate', 'ahead']).toContain(verdict)
        if (verdict === 'data') applied.push(...entriesOf(frame))
      }
      expect(applied).toEqual(groups.flat().slice(0, applied.length))
      if (applied.length === groups.flat().length) complete += 1
    })
    expect(complete).toBeGreaterThan(50)
  })
})

describe('the rule, case by case', () => {
  let state: CopyState
  const read = (frame: Frame): Verdict => admit(state, 'orders', frame)
  const next = (given: Parameters<typeof dataFrame>[1] = {}): Frame =>
    dataFrame([text('x')], {
      epoch: 3,
      term: 33n,
      firstSeq: state.nextSeq,
      firstIndex: state.nextIndex,
      chain: state.chain,
      ...given,
    })

  beforeEach(() => {
    state = emptyState()
    expect(read(openFrame({ incarnation: 2 }))).toBe('opened')
    expect(read(barrierFrame({ incarnation: 2, epoch: 3, term: 33n }))).toBe('barrier')
    expect(read(next({ incarnation: 2 }))).toBe('data')
  })

  test('opening an incarnation empties everything', () => {
    expect(read(levelFrame({ incarnation: 2, epoch: 3, term: 33n, level: 2 }))).toBe('level')
    expect(read(openFrame({ incarnation: 3 }))).toBe('opened')
    expect(state).toEqual({ ...emptyState(), incarnation: 3, chain: chainOfOpen('orders', 3) })
  })

  test('an incarnation may be skipped, never reopened or gone back to', () => {
    expect(read(openFrame({ incarnation: 7 }))).toBe('opened')
    for (const incarnation of [7, 6, 1]) expect(read(openFrame({ incarnation }))).toBe('old-incarnation')
  })

  test('a barrier keeps the entries and the level, starts the seqs anew, and binds the chain to its term', () => {
    expect(read(levelFrame({ incarnation: 2, epoch: 3, term: 33n, level: 2 }))).toBe('level')
    const { chain } = state
    expect(read(barrierFrame({ incarnation: 2, epoch: 5, term: 55n }))).toBe('barrier')
    expect(state).toMatchObject({
      epoch: 5,
      term: 55n,
      nextSeq: 0,
      nextIndex: 1,
      level: 2,
      chain: chainAfterBarrier(chain, 5, 55n),
    })
  })

  test('of two barriers of one epoch the first counts', () => {
    expect(read(barrierFrame({ incarnation: 2, epoch: 3, term: 44n }))).toBe('old-epoch')
    expect(read(barrierFrame({ incarnation: 2, epoch: 2, term: 44n }))).toBe('old-epoch')
    expect(state.term).toBe(33n)
  })

  test("a zombie's data does not count: of an older epoch, or of a term that lost the epoch", () => {
    expect(read(next({ incarnation: 2, epoch: 2 }))).toBe('old-epoch')
    expect(read(next({ incarnation: 2, term: 34n }))).toBe('old-term')
    expect(read(next({ incarnation: 1 }))).toBe('old-incarnation')
    expect(read(next({ incarnation: 2 }))).toBe('data')
  })

  test('what was never opened here can only follow missing records: a gap, not something to ignore', () => {
    expect(read(next({ incarnation: 3 }))).toBe('gap')
    expect(read(next({ incarnation: 2, epoch: 4 }))).toBe('gap')
    expect(read(barrierFrame({ incarnation: 3, epoch: 9 }))).toBe('gap')
    expect(read(levelFrame({ incarnation: 2, epoch: 4 }))).toBe('gap')
    state = emptyState()
    expect(read(barrierFrame())).toBe('gap')
    expect(read(dataFrame([text('x')]))).toBe('gap')
  })

  test('so can a barrier whose writer had read more entries; one that had read fewer was only late', () => {
    const before = { ...state }
    expect(read(barrierFrame({ incarnation: 2, epoch: 4, nextIndex: 2 }))).toBe('gap')
    expect(state).toEqual(before)
    expect(read(barrierFrame({ incarnation: 2, epoch: 3, nextIndex: 2 }))).toBe('old-epoch')
    expect(read(barrierFrame({ incarnation: 1, epoch: 4, nextIndex: 2 }))).toBe('old-incarnation')
    expect(read(barrierFrame({ incarnation: 2, epoch: 4, nextIndex: 1 }))).toBe('barrier')
    expect(read(barrierFrame({ incarnation: 2, epoch: 5, nextIndex: 0 }))).toBe('barrier')
  })

  test('the next frame of another history is a divergence', () => {
    expect(read(next({ incarnation: 2, chain: state.chain + 1n }))).toBe('diverged')
    expect(read(next({ incarnation: 2, firstIndex: state.nextIndex + 1 }))).toBe('diverged')
    expect(read(next({ incarnation: 2 }))).toBe('data')
  })

  test('a duplicate and a frame that is ahead are ignored, whatever their chain', () => {
    expect(read(next({ incarnation: 2, firstSeq: 0, chain: 5n }))).toBe('duplicate')
    expect(read(next({ incarnation: 2, firstSeq: 2, chain: 5n }))).toBe('ahead')
  })

  test('after a deletion nothing counts but the next opening', () => {
    expect(read(openFrame({ incarnation: 3, deleted: true }))).toBe('opened')
    expect(read(barrierFrame({ incarnation: 3, epoch: 1 }))).toBe('deleted')
    expect(read(next({ incarnation: 3 }))).toBe('deleted')
    expect(read(levelFrame({ incarnation: 3 }))).toBe('deleted')
    expect(read(markerFrame({ incarnation: 3 }))).toBe('marker')
    expect(read(openFrame({ incarnation: 4 }))).toBe('opened')
    expect(read(barrierFrame({ incarnation: 4, epoch: 1 }))).toBe('barrier')
  })

  test("another token's frames in the same log are foreign, whatever they are", () => {
    const foreign = [
      openFrame({ incarnation: 9 }),
      barrierFrame({ incarnation: 9 }),
      next({ incarnation: 2 }),
      levelFrame(),
      markerFrame(),
    ]
    for (const frame of foreign) expect(read({ ...frame, token: 'others' })).toBe('foreign')
  })

  test('a marker is told to its author, whatever its incarnation, and changes nothing', () => {
    const before = { ...state }
    for (const incarnation of [1, 2, 3]) expect(read(markerFrame({ incarnation }))).toBe('marker')
    expect(state).toEqual(before)
  })

  test('the level only grows, by the term in force', () => {
    const level = (given: object): Verdict => read(levelFrame({ incarnation: 2, epoch: 3, term: 33n, ...given }))
    expect([level({ level: 2 }), level({ level: 2 }), level({ level: 1 })]).toEqual(['level', 'old-level', 'old-level'])
    expect([level({ level: 5, term: 34n }), level({ level: 5, epoch: 2 })]).toEqual(['old-term', 'old-epoch'])
    expect(state.level).toBe(2)
  })
})

test('epochs are compared by incarnation first', () => {
  const pair = (incarnation: number, epoch: number) => ({ incarnation, epoch })
  expect(compareEpochs(pair(1, 9), pair(2, 1))).toBeLessThan(0)
  expect(compareEpochs(pair(2, 1), pair(1, 9))).toBeGreaterThan(0)
  expect(compareEpochs(pair(2, 1), pair(2, 3))).toBeLessThan(0)
  expect(compareEpochs(pair(2, 3), pair(2, 3))).toBe(0)
})
