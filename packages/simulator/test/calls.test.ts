/** That a call which does not settle in time is noticed, whichever it is, and a node that does not come back in time. */
import { expect, test } from 'vitest'
import type { SimulateOptions } from '../src/index.js'
import { firstBroken } from './seeds.js'
import { lateNodes, type Late } from './late.js'

const seconds = 3
// Not earlier: nodes that have just been started anew, at the end, are younger when they are asked at rest.
const whileTraffic = { fromMs: 2000, toMs: seconds * 1000 }
const atRest = { fromMs: seconds * 1000 }

test.each<[string, Late, RegExp, SimulateOptions['faults']?]>([
  ['sync under way', { call: 'sync', byMs: 4000, ...whileTraffic }, /^converge: sync of t\d on \w\.1, .* pending/],
  ['token under way', { call: 'token', byMs: 4000, ...whileTraffic }, /^converge: token t\d on \w\.1, .* pending/],
  ['alter under way', { call: 'alter', byMs: 4000, ...whileTraffic }, /^converge: alter to \d replicas t\d .* pending/],
  ['handover under way', { call: 'handover', byMs: 4000, ...whileTraffic }, /^converge: handover to \w t\d .* pending/],
  ['remove under way', { call: 'remove', byMs: 6000, ...whileTraffic }, /^converge: remove t\d .* pending/],
  ['sync at rest', { call: 'sync', byMs: 200, ...atRest }, /^converge: at rest, sync of t\d .* pending/],
  ['token at rest', { call: 'token', byMs: 200, ...atRest }, /^converge: at rest, token t\d .* pending/],
  [
    'handover at rest',
    { call: 'handover', byMs: 200, ...atRest },
    /^converge: at rest, handover of t\d to \w .* pending/,
  ],
  [
    'sync when its node has stopped',
    { call: 'sync', byMs: 2500, toMs: 1500 },
    /^sync of t\d .* when its node has stopped$/,
    { all: 0, restart: 10 },
  ],
  ['start after a crash', { call: 'start', byMs: 4000 }, /^converge: .*node \w does not run/, { all: 0, crash: 6 }],
  ['start of all nodes', { call: 'start', byMs: 2000 }, /^coldStart: node \w does not run/],
])('a late %s is noticed', async (_name, late, message, faults = { all: 0 }) => {
  const found = await firstBroken(1, 40, { seconds, faults, createNode: lateNodes(late) })
  expect(found).toMatchObject({ promise: 'L', message: expect.stringMatching(message) })
})
