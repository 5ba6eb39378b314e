/** What the ground truth takes for a loss when records of a log are dropped. */
import { encodeFrame, type Frame } from '@kagami/core/engine'
import { expect, test } from 'vitest'
import { Ghost } from '../src/check/ghost.js'
import { Ledger } from '../src/check/ledger.js'
import { Chance } from '../src/kernel/chance.js'
import { Trace } from '../src/kernel/trace.js'
import { LogServer } from '../src/world/log-server.js'
import { StoreServer } from '../src/world/store-server.js'

/** A log of t1, in which one token more is opened, and begun where `begun`. */
function setup(other: { readonly begun: boolean }) {
  const trace = new Trace()
  const server = new LogServer(new Chance(1), new Ghost(trace, new Ledger(trace), new StoreServer(), 2))
  const log = server.logs.get(server.allocate('t1', new Set()))!
  const append = (frame: Frame): void => void server.append(log, frame.token, encodeFrame(frame))
  const { address, identity } = log
  const open = (token: string, incarnation: number, deleted: boolean): void =>
    append({ kind: 'open', token, incarnation, timeMs: 0, deleted, address, identity })
  open('t1', 1, false)
  append({ kind: 'barrier', token: 't1', incarnation: 1, timeMs: 0, epoch: 1, term: 1n })
  open('t3', 119, false)
  if (other.begun) append({ kind: 'barrier', token: 't3', incarnation: 119, timeMs: 0, epoch: 1, term: 2n })
  open('t1', 2, true)
  return { trace, drop: (why: 'truncate' | 'release') => server.drop(log, log.end, why) }
}

test.each(['truncate', 'release'] as const)('%s: the open frame of a creation that was given up is no loss', (why) => {
  const { trace, drop } = setup({ begun: false })
  drop(why)
  expect(trace.violations).toEqual([])
  expect(trace.counts['truncations'] ?? trace.counts['releases']).toBe(1)
})

test.each(['truncate', 'release'] as const)('%s: what has begun is a loss without verified snapshots', (why) => {
  const { trace, drop } = setup({ begun: true })
  drop(why)
  expect(trace.violations).toMatchObject([{ promise: 'S8', message: expect.stringContaining('t3') }])
})
