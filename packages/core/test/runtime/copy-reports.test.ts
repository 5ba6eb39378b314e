/** What counts of the reports: those of members that are over say only how far the log went. */
import { expect, test } from 'vitest'
import type { Document, Position } from '../../src/contract/index.js'
import { bucketOf, reportDocument } from '../../src/engine/documents.js'
import { CopyReports } from '../../src/runtime/copy-reports.js'
import { REPORT } from '../engine/scenario.js'

function told(node: string, member: string, reached: Position): readonly [string, Document] {
  const name = `reports/${node}/${bucketOf('orders')}`
  const tokens = [{ ...REPORT, nextIndex: 0, reached }]
  return [name, { name, version: 1, bytes: reportDocument.encode({ member, tokens }) }]
}

test('how far the log went is the most that any node has told of the incarnation, in whatever run', () => {
  const reports = new CopyReports()
  const a = told('a', 'a1', { incarnation: 3, index: 20 })
  const b = told('b', 'b1', { incarnation: 3, index: 25 })
  const c = told('c', 'c1', { incarnation: 1, index: 99 })
  const onBad = () => expect.unreachable()
  reports.update(new Map([a, b, c]), onBad)
  expect(reports.of('b', 'b2', 'orders')).toBeUndefined()
  expect(reports.reached('orders', 3)).toBe(25)
  expect(reports.reached('orders', 1)).toBe(99)
  expect(reports.reached('orders', 5)).toBe(0)
  expect(reports.reached('trades', 3)).toBe(0)
  reports.update(new Map([a, c]), onBad)
  expect(reports.reached('orders', 3)).toBe(20)
})
