/** The controller's steps: scenarios/*.txt, where each title is the promise. "New copies first, hand over to in-sync copies, drop the old copy last". */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { assignsCopy, copiesOf, countRound, pinnedPrimary } from '../../src/engine/assignment-steps.js'
import { calm, type ClusterView, type NodeView } from '../../src/engine/cluster-view.js'
import type { Assignment, CopyReport } from '../../src/engine/documents.js'
import { NEW, played, REPORT, scenariosIn, SPEC } from './scenario.js'

const folder = new URL('scenarios/', import.meta.url)
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'))

test('there are scenarios', () => {
  expect(files).toEqual(['failing-over.txt', 'handing-over.txt', 'healing.txt', 'owning.txt', 'placing.txt'])
})

describe.each(files)('%s', (file) => {
  const scenarios = scenariosIn(readFileSync(new URL(file, folder), 'utf8'))

  test('has scenarios with titles of their own', () => {
    expect(scenarios.length).toBeGreaterThan(5)
    expect(new Set(scenarios.map(({ title }) => title)).size).toBe(scenarios.length)
  })

  test.each(scenarios.map((scenario) => [scenario.title, scenario] as const))('%s', (_title, scenario) => {
    expect(played(scenario)).toBe(scenario.text)
  })
})

const ASSIGNED: Assignment = { ...NEW, epoch: 4, primary: { node: 'b', member: 'b1' }, replicas: ['a', 'c'] }

function viewOf(
  reports: Readonly<Record<string, Partial<CopyReport>>>,
  { lost = [], stalled = [] }: { readonly lost?: readonly string[]; readonly stalled?: readonly string[] } = {},
): ClusterView {
  const view = (node: string): NodeView => {
    return { node, member: lost.includes(node) ? undefined : `${node}1`, zone: null, capacity: 1, draining: 'no' }
  }
  return {
    nodes: new Map(['a', 'b', 'c'].map((node) => [node, view(node)])),
    report: (node) => (reports[node] === undefined ? undefined : { ...REPORT, ...reports[node] }),
    reached: () => 0,
    stalled: (node) => stalled.includes(node),
  }
}

describe('the counts of a round', () => {
  test('a copy restores until it is in sync in the incarnation of the assignment; without a report it does too', () => {
    const counts = countRound([ASSIGNED], viewOf({ a: { inSync: false }, b: { inSync: true }, c: { incarnation: 2 } }))
    expect([...counts.restoring].sort()).toEqual([
      ['a', 1],
      ['c', 1],
    ])
    expect([...countRound([ASSIGNED, ASSIGNED], viewOf({})).restoring].sort()).toEqual([
      ['a', 2],
      ['b', 2],
      ['c', 2],
    ])
  })

  test('a copy that is being restored anew is not in sync, whatever it was before', () => {
    const counts = countRound([ASSIGNED], viewOf({ a: { phase: 'restoring', inSync: true }, b: {}, c: {} }))
    expect([...counts.restoring]).toEqual([['a', 1]])
  })

  test('one poisoned token delays no other: a copy that has failed takes no place among the restores', () => {
    const counts = countRound([ASSIGNED], viewOf({ a: { phase: 'failed', inSync: false }, b: {}, c: {} }))
    expect([...counts.restoring]).toEqual([])
  })

  test('nor does one that is cut off from its log; one that is still restored has only not looked at it yet', () => {
    const cutOff = { inSync: false, cutOff: true }
    const reports = { a: cutOff, b: {}, c: { ...cutOff, phase: 'restoring' as const } }
    expect([...countRound([ASSIGNED], viewOf(reports)).restoring]).toEqual([['c', 1]])
  })

  test('nor one that does not come on, also where nothing was heard of it at all', () => {
    const view = viewOf({ a: { inSync: false }, b: {} }, { stalled: ['a', 'c'] })
    expect([...countRound([ASSIGNED], view).restoring]).toEqual([])
  })

  test('primaries are counted where they are; tokens that are not open are not counted', () => {
    const deleted: Assignment = { ...ASSIGNED, phase: 'deleted' }
    const counts = countRound([ASSIGNED, { ...ASSIGNED, primary: null }, deleted], viewOf({ a: {}, b: {}, c: {} }))
    expect([...counts.primaries]).toEqual([['b', 1]])
  })
})

describe('an assignment', () => {
  test('gives copies to its primary and its replicas, sorted, as long as the token lives', () => {
    expect(copiesOf(ASSIGNED)).toEqual(['a', 'b', 'c'])
    expect(copiesOf({ ...ASSIGNED, primary: null })).toEqual(['a', 'c'])
    const gives = (phase: Assignment['phase']) =>
      ['a', 'b', 'x'].map((node) => assignsCopy({ ...ASSIGNED, phase }, node))
    expect([gives('open'), gives('deleting')]).toEqual([
      [true, true, false],
      [true, true, false],
    ])
    for (const phase of ['opening', 'deleted', 'gone'] as const) expect(gives(phase)).toEqual([false, false, false])
  })

  test('is pinned to its owner at first, then where it is, unless the owner holds it or gets it back', () => {
    const own = { ...SPEC, primary: 'self' as const, owner: 'a' }
    expect(pinnedPrimary(ASSIGNED, SPEC)).toBeUndefined()
    expect([pinnedPrimary(undefined, own), pinnedPrimary(NEW, own), pinnedPrimary(ASSIGNED, own)]).toEqual([
      'a',
      'a',
      'b',
    ])
    expect(pinnedPrimary({ ...ASSIGNED, primary: null }, own)).toBeUndefined()
    expect(pinnedPrimary(ASSIGNED, { ...own, failback: true })).toBe('a')
    expect(pinnedPrimary(ASSIGNED, { ...own, failover: 'hold' })).toBe('a')
  })

  test('is pinned nowhere while it is asked for elsewhere, unless it is new or held', () => {
    const asked = { ...SPEC, primary: 'self', owner: 'a', handover: { to: 'c', nonce: 'n' } } as const
    for (const failback of [false, true]) expect(pinnedPrimary(ASSIGNED, { ...asked, failback })).toBeUndefined()
    expect(pinnedPrimary(NEW, asked)).toBe('a')
    expect(pinnedPrimary(ASSIGNED, { ...asked, failover: 'hold' })).toBe('a')
    const given = { ...ASSIGNED, handoverGivenUp: 'n' }
    expect([pinnedPrimary(given, asked), pinnedPrimary(given, { ...asked, failback: true })]).toEqual(['b', 'a'])
  })
})

test('a cluster is calm when no node is within its grace period', () => {
  expect([calm(viewOf({})), calm(viewOf({}, { lost: ['b'] }))]).toEqual([true, false])
})
