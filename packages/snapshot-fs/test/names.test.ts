/** Checks that no name leaves its folder, and that no two names meet. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { folderName, isSnapshotFileName, isSnapshotId, snapshotFileName } from '../src/names.js'

const hostile = [
  '',
  '.',
  '..',
  '../../etc',
  '/',
  'a/b',
  'a\0b',
  '\\',
  '~',
  '.hidden',
  'x'.repeat(5000),
  '鏡',
  '\ud800',
  '\udfff',
  'a\n',
]

describe('names on disk', () => {
  test('are one short component each, whatever the token is called', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.constantFrom(...hostile)), (name) => {
        expect(folderName(name)).toMatch(/^[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,150}$/)
      }),
    )
  })

  test('of different tokens differ, also where the file system ignores case', () => {
    const names = [
      ...hostile,
      'orders',
      'Orders',
      'ORDERS',
      'orders_',
      'a_b',
      'x'.repeat(40),
      'x'.repeat(101),
      '\ud801',
      'ä',
      'a\u0308',
    ]
    names.push(...names.map(folderName).filter((name) => !names.includes(name)))
    const folders = names.map((name) => folderName(name).toLowerCase())
    expect(new Set(folders).size).toBe(names.length)
  })

  test('show a plain token as it is', () => {
    expect(folderName('orders-eu.1')).toBe('orders-eu.1')
    expect(snapshotFileName('1-000100.node-a_x')).toBe('1-000100.node-a_x.snap')
  })

  test('of different snapshots differ, also where the file system ignores case', () => {
    const ids = ['a', 'A', '.', '..', '...', 'a.snap', 'x'.repeat(200), 'X'.repeat(200), 'Ab', 'aB', 'AB']
    for (const id of ids) {
      expect(isSnapshotId(id)).toBe(true)
      expect(isSnapshotFileName(snapshotFileName(id))).toBe(true)
      expect(Buffer.byteLength(snapshotFileName(id))).toBeLessThanOrEqual(255)
    }
    expect(new Set(ids.map((id) => snapshotFileName(id).toLowerCase())).size).toBe(ids.length)
  })

  test.each(['', 'a/b', '../x', 'a b', 'é', 'x'.repeat(201), 'a\n', 7, undefined])(
    '%j is no id of a snapshot',
    (id) => {
      expect(isSnapshotId(id)).toBe(false)
    },
  )
})
