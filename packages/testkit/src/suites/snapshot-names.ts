/** The names that a snapshot store must tell apart: tokens are any text, ids use the whole of their small alphabet. */
import assert from 'node:assert/strict'
import type { Case } from './runner.js'
import type { SnapshotStoreWorld } from './snapshot-store-world.js'
import { contents, metaOf, source } from './snapshot-support.js'

const hostileTokens = [
  '.',
  '..',
  '../orders',
  '/orders',
  'orders/',
  'orders//1',
  'orders',
  'Orders',
  'orders ',
  ' ',
  '-rf',
  '~',
  'a\\b',
  'a%2Fb',
  'a/b',
  'a:b',
  'a*?"<>|',
  '{a}',
  'con',
  'line\nbreak',
  'tab\there',
  'nul\u0000byte',
  'é',
  'e\u0301',
  '鏡',
  '🪞',
  '__proto__',
  'constructor',
  'undefined',
  '0',
]

const hostileIds = [
  '.',
  '..',
  '-',
  '_',
  'a',
  'A',
  'a.b',
  'a-b',
  '.tmp',
  'manifest.json',
  '1-0000000001-n.a-0f',
  'x'.repeat(200),
]

export function snapshotNameCases(test: Case<SnapshotStoreWorld>, longestTokenBytes: number): void {
  test('tokens of any name are kept apart, and none is refused', async (scope, world) => {
    const [a, b] = [await scope.start(world.open('a'), 'a'), await scope.start(world.open('b'), 'b')]
    const longest = longestTokenBytes
    const tokens = [
      ...hostileTokens,
      'l'.repeat(longest),
      `${'l'.repeat(longest - 1)}m`,
      '鏡'.repeat(Math.floor(longest / 3)),
    ]
    for (const token of tokens) await a.create(metaOf(token, 'one'), source([`of ${token}`]), scope.options)
    for (const token of tokens) {
      const listed = await b.list(token, scope.options)
      assert.deepEqual(
        listed.map(({ meta }) => meta.token),
        [token],
        `the list of ${JSON.stringify(token.slice(0, 40))}`,
      )
      assert.equal(await contents(b, token, 'one', scope.options), `of ${token}`)
    }
    for (const token of tokens) await b.delete(token, 'one', scope.options)
    for (const token of tokens) assert.deepEqual(await a.list(token, scope.options), [])
  })

  test('ids that use the whole alphabet and length are kept apart', async (scope, world) => {
    const store = await scope.start(world.open('a'), 'a')
    for (const id of hostileIds) await store.create(metaOf('orders', id), source([`of ${id}`]), scope.options)
    const listed = await store.list('orders', scope.options)
    assert.deepEqual(new Set(listed.map(({ meta }) => meta.id)), new Set(hostileIds))
    for (const id of hostileIds) assert.equal(await contents(store, 'orders', id, scope.options), `of ${id}`)
    for (const id of hostileIds) {
      await store.delete('orders', id, scope.options)
      const left = await store.list('orders', scope.options)
      assert.ok(!left.some(({ meta }) => meta.id === id), `${id} is still listed`)
    }
    assert.deepEqual(await store.list('orders', scope.options), [])
  })
}
