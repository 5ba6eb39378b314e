/** What people are told of a token that has no primary. */
import { expect, test } from 'vitest'
import type { ClusterView, NodeView } from '../../src/engine/cluster-view.js'
import type { CopyReport, Spec } from '../../src/engine/documents.js'
import { whyUnserved } from '../../src/engine/unserved.js'
import { NEW, REPORT, SPEC } from './scenario.js'

const node = (name: string, lives = true): NodeView => ({
  node: name,
  member: lives ? `${name}.1` : undefined,
  zone: null,
  capacity: 1,
  draining: 'no',
})

function told(spec: Partial<Spec>, nodes: readonly NodeView[], reports: Record<string, Partial<CopyReport>>): string {
  const view: ClusterView = {
    nodes: new Map(nodes.map((each) => [each.node, each])),
    report: (name) => (reports[name] === undefined ? undefined : { ...REPORT, ...reports[name] }),
    reached: () => 0,
    stalled: () => false,
  }
  return whyUnserved({ ...NEW, primary: null }, { ...SPEC, ...spec }, view)
}

const held = { primary: 'self', owner: 'a', failover: 'hold' } as const

test('a token that is held for an owner that is gone', () => {
  expect(told(held, [node('b')], {})).toMatch(/is held for its owner, node 'a', which is gone/)
  expect(told(held, [node('a', false), node('b')], {})).toMatch(/is held for its owner, node 'a', which is gone/)
})

test('one whose owner lives, and can not serve it', () => {
  const reports = { a: { phase: 'failed', error: 'KAGAMI_LOG_GAP' }, b: { error: 'KAGAMI_BUG' } } as const
  const why = told(held, [node('a'), node('b')], reports)
  expect(why).toMatch(/its owner, node 'a', for which it is held, can't serve it \(node 'a': KAGAMI_LOG_GAP\)/)
})

test('one that no node can serve, with what each says', () => {
  const reports = {
    a: { phase: 'failed', error: 'KAGAMI_LOG_GAP' },
    b: { phase: 'failed', error: 'KAGAMI_APPLY_FAILED' },
  } as const
  const nodes = [node('a'), node('b'), node('c')]
  expect(told({}, nodes, reports)).toMatch(
    /no node can serve it \(node 'a': KAGAMI_LOG_GAP, node 'b': KAGAMI_APPLY_FAILED\)/,
  )
  expect(told({}, [], {})).toMatch(/has no primary: no node can serve it\. The health/)
})
