/** What the ground truth takes for a loss: records that a log drops, and copies that serve with less than had counted, or something else. */
import { chainAfterBarrier, chainOfOpen, encodeEntries, encodeFrame, type Frame } from '@kagami/core/engine'
import { expect, test } from 'vitest'
import { Ghost } from '../src/check/ghost.js'
import { entryOf, Ledger } from '../src/check/ledger.js'
import { Chance } from '../src/kernel/chance.js'
import { mix } from '../src/kernel/scheduler.js'
import { Trace } from '../src/kernel/trace.js'
import { LogServer } from '../src/world/log-server.js'
import { StoreServer } from '../src/world/store-server.js'

const head = { timeMs: 0, incarnation: 1 }

function setup() {
  const trace = new Trace()
  const ledger = new Ledger(trace)
  const ghost = new Ghost(trace, ledger, new StoreServer(), 2)
  const server = new LogServer(new Chance(1), ghost)
  const log = server.logs.get(server.allocate('t1', new Set()))!
  const append = (frame: Frame): void => void server.append(log, frame.token, encodeFrame(frame))
  const { address, identity } = log
  const open = (token: string, incarnation: number, deleted = false): void =>
    append({ kind: 'open', token, incarnation, timeMs: 0, deleted, address, identity })
  const barrier = (token: string, epoch: number): void =>
    append({ ...head, kind: 'barrier', token, epoch, term: BigInt(epoch), nextIndex: 0 })
  return {
    trace,
    ledger,
    ghost,
    append,
    open,
    barrier,
    drop: (why: 'truncate' | 'release') => server.drop(log, log.end, why),
  }
}

/** The end of a log of t1, in which t3 is opened, too. */
function afterRemoval(begun: boolean) {
  const world = setup()
  world.open('t1', 1)
  world.barrier('t1', 1)
  world.open('t3', 1)
  if (begun) world.barrier('t3', 1)
  world.open('t1', 2, true)
  return world
}

test.each(['truncate', 'release'] as const)('%s: the open frame of a creation that was given up is no loss', (why) => {
  const { trace, drop } = afterRemoval(false)
  drop(why)
  expect(trace.violations).toEqual([])
  expect(trace.counts['truncations'] ?? trace.counts['releases']).toBe(1)
})

test.each(['truncate', 'release'] as const)('%s: what has begun is a loss without verified snapshots', (why) => {
  const { trace, drop } = afterRemoval(true)
  drop(why)
  expect(trace.violations).toMatchObject([{ promise: 'S8', message: expect.stringContaining('t3') }])
})

/** A log of t1 in which one entry has counted before epoch 2; gives the state's digest after it. */
function afterOneEntry() {
  const world = setup()
  world.open('t1', 1)
  world.barrier('t1', 1)
  const { id } = world.ledger.begin('t1', 'a.1')
  const chain = chainAfterBarrier(chainOfOpen('t1', 1), 1, 1n)
  const body = encodeEntries([entryOf(id)])
  const data = { epoch: 1, term: 1n, firstSeq: 0, firstIndex: 0, count: 1, chain, body }
  world.append({ ...head, ...data, kind: 'data', token: 't1' })
  world.barrier('t1', 2)
  expect(world.trace.violations).toEqual([])
  return { ...world, digest: mix(0, id) }
}

test('a copy that serves holds what had counted before its epoch, and nothing else', () => {
  const { trace, ghost, digest } = afterOneEntry()
  ghost.serves('b.1', 't1', 2, { incarnation: 1, index: 1 }, digest)
  expect(trace.violations).toEqual([])
  ghost.serves('b.1', 't1', 2, { incarnation: 1, index: 1 }, digest + 1)
  expect(trace.violations).toMatchObject([{ promise: 'S2' }])
})

test('a copy that serves with nothing, as after a replay from an open frame that came late, is a loss', () => {
  const { trace, ghost } = afterOneEntry()
  ghost.serves('b.1', 't1', 2, { incarnation: 1, index: 0 }, 0)
  expect(trace.violations).toMatchObject([{ promise: 'S1' }])
})

test('a copy that serves before its barrier is in the log breaks S3', () => {
  const { trace, ghost, digest } = afterOneEntry()
  ghost.serves('b.1', 't1', 3, { incarnation: 1, index: 1 }, digest)
  expect(trace.violations).toMatchObject([{ promise: 'S3' }])
})
