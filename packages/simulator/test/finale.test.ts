/** What the end of a run takes for something that people must clear up, and for what it waits longer. */
import { encodeFrame } from '@kagami/core/engine'
import { expect, test } from 'vitest'
import { boundsOf } from '../src/check/bounds.js'
import { Calls } from '../src/check/calls.js'
import { converge, isForPeople, type FinaleOptions } from '../src/check/finale.js'
import { Ghost } from '../src/check/ghost.js'
import { Ledger } from '../src/check/ledger.js'
import { Chance } from '../src/kernel/chance.js'
import { Faults } from '../src/kernel/faults.js'
import { Scheduler } from '../src/kernel/scheduler.js'
import { Trace } from '../src/kernel/trace.js'
import { LogServer } from '../src/world/log-server.js'
import { StoreServer } from '../src/world/store-server.js'
import type { World } from '../src/world/wire.js'

const failed = [{ phase: 'failed' }, { phase: 'running' }]

test('a token that the log shows nothing of, or less than the documents say, is for people where its copies fail', () => {
  expect(isForPeople(undefined, 123, failed)).toBe(true)
  // A late copy of the frame that opened an older incarnation.
  expect(isForPeople({ incarnation: 121, length: 0 }, 123, failed)).toBe(true)
})

test('a token that the log shows alive is for its nodes to serve', () => {
  expect(isForPeople({ incarnation: 121, length: 7 }, 123, failed)).toBe(false)
  expect(isForPeople({ incarnation: 123, length: 0 }, 123, failed)).toBe(false)
  expect(isForPeople({ incarnation: 125, length: 0 }, 123, failed)).toBe(false)
})

test('a token that nobody is told of, or of which no copy has failed, is to be asked for', () => {
  expect(isForPeople(undefined, 0, failed)).toBe(false)
  expect(isForPeople(undefined, 123, [{ phase: 'restoring' }])).toBe(false)
})

/** How long the end of a run goes on for a call that never ends, `releasedMs` after a log was released. */
async function waited(releasedMs: number): Promise<number> {
  const trace = new Trace()
  const chance = new Chance(1)
  const scheduler = new Scheduler(chance, () => expect.unreachable())
  trace.nowMs = () => scheduler.nowMs
  const world: World = { scheduler, chance, faults: new Faults(chance, {}), trace }
  const ledger = new Ledger(trace)
  const ghost = new Ghost(trace, ledger, new StoreServer(), 2)
  const logs = new LogServer(chance, ghost)
  const log = logs.logs.get(logs.allocate('t1', new Set()))!
  const { address, identity } = log
  const opened = { kind: 'open', token: 't1', incarnation: 1, deleted: true, address, identity, timeMs: 0 } as const
  logs.append(log, 't1', encodeFrame(opened))
  logs.drop(log, log.end, 'release')
  const calls = new Calls(trace)
  calls.begin('token', 'a call that never ends', 'a.1')
  scheduler.after(releasedMs, undefined, () => undefined)
  await scheduler.run(releasedMs)
  const options = { world, ledger, ghost, calls, workload: { tokens: [] } } as unknown as FinaleOptions
  await converge(options, 'converge', bounds)
  expect(trace.violations).toMatchObject([{ promise: 'L', message: expect.stringContaining('a call that never ends') }])
  return trace.counts['convergeMs']!
}

const bounds = boundsOf({ sessionTimeoutMs: 1500, documentsLost: false })

test('where a log was released that a copy may have been cut off from, the end is waited for longer', async () => {
  expect(await waited(4900)).toBe(bounds.convergeMs + bounds.releasedMs)
  expect(await waited(5100)).toBe(bounds.convergeMs)
})
