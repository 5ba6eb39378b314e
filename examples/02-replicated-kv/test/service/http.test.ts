import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { tokenNames, tokenOf } from '../../src/service/partition.js'
import { get, put, TestCluster, type WriteBody } from '../support.js'

describe('the key-value service over HTTP', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await TestCluster.of(['a', 'b', 'c'])
  })
  afterAll(() => cluster[Symbol.asyncDispose]())

  test('what any node was told, every node answers', async () => {
    const written = await put(cluster.node('a'), 'greeting', 'hello')
    expect(written.status).toBe(201)
    for (const node of cluster.nodes.values()) {
      const answer = await get(node, 'greeting', 'linearizable')
      expect(answer.status).toBe(200)
      expect(await answer.text()).toBe('hello')
      expect(answer.headers.get('etag')).toBe(`"${written.body.version ?? ''}"`)
    }
  })

  test('a write sent to a replica, or to a node without a copy, is carried out by the primary', async () => {
    const token = tokenOf('forwarded', tokenNames(4))
    const { primary, replica, other } = await cluster.placesOf(token)
    for (const [node, value] of [
      [primary, '1'],
      [replica, '2'],
      [other, '3'],
    ] as const) {
      const { status, body } = await put(node, 'forwarded', value)
      expect([200, 201]).toContain(status)
      expect(body.token).toBe(token)
      expect(await (await get(node, 'forwarded', `at-least=${body.position}`)).text()).toBe(value)
    }
  })

  test('a read of at least a position sees the write that was answered with it, at a replica', async () => {
    const { replica } = await cluster.placesOf(tokenOf('mine', tokenNames(4)))
    for (let i = 0; i < 50; i++) {
      const { body } = await put(cluster.node('a'), 'mine', String(i))
      const answer = await get(replica, 'mine', `at-least=${body.position}`)
      expect(await answer.text()).toBe(String(i))
      expect(answer.headers.get('kv-role')).toBe('replica')
    }
  })

  test('the position that a read was answered with asks another copy for what is at least as new, and no newer', async () => {
    const { primary, replica } = await cluster.placesOf(tokenOf('read', tokenNames(4)))
    const { body } = await put(primary, 'read', 'x')
    const position = (await get(primary, 'read', 'linearizable')).headers.get('kv-position')
    expect(position).toBe(body.position)
    const answer = await get(replica, 'read', `at-least=${position}`)
    expect([answer.status, await answer.text()]).toEqual([200, 'x'])
  })

  test('a linearizable read at a replica sees every write that was answered before it', async () => {
    const { replica, other } = await cluster.placesOf(tokenOf('fresh', tokenNames(4)))
    for (let i = 0; i < 20; i++) {
      await put(other, 'fresh', String(i))
      expect(await (await get(replica, 'fresh', 'linearizable')).text()).toBe(String(i))
    }
  })

  test('a local read says how old it may be', async () => {
    const { body } = await put(cluster.node('a'), 'stale', 'x')
    const { replica } = await cluster.placesOf(tokenOf('stale', tokenNames(4)))
    await get(replica, 'stale', `at-least=${body.position}`)
    const { headers } = await get(replica, 'stale', 'local')
    expect(headers.get('kv-lag-entries')).toMatch(/^\d+$/)
    expect(headers.get('kv-look-age-ms')).toMatch(/^\d+$/)
    expect(headers.get('kv-position')).toMatch(/^kv-\d\d@\d+\.\d+$/)
  })

  test('a deleted key has no value, and deleting it again is no error', async () => {
    const [node] = cluster.nodes.values()
    const url = `${node!.url}/kv/gone`
    await put(node!, 'gone', 'x')
    const first = (await (await fetch(url, { method: 'DELETE' })).json()) as WriteBody
    const second = (await (await fetch(url, { method: 'DELETE' })).json()) as WriteBody
    expect([first.existed, second.existed]).toEqual([true, false])
    expect((await get(node!, 'gone', 'linearizable')).status).toBe(404)
  })

  test('compare-and-set: a write with the version that it has read takes effect only while that is the version', async () => {
    const node = cluster.node('b')
    const first = await put(node, 'cas', '1', { 'if-none-match': '*' })
    expect(first.status).toBe(201)
    expect((await put(node, 'cas', 'x', { 'if-none-match': '*' })).status).toBe(412)
    const second = await put(node, 'cas', '2', { 'if-match': `"${first.body.version ?? ''}"` })
    expect(second.status).toBe(200)
    const late = await put(node, 'cas', 'x', { 'if-match': `"${first.body.version ?? ''}"` })
    expect(late.status).toBe(412)
    expect(late.body.version).toBe(second.body.version)
    expect(await (await get(node, 'cas', 'linearizable')).text()).toBe('2')
  })

  test('of concurrent compare-and-sets of one version exactly one takes effect', async () => {
    const { body } = await put(cluster.node('a'), 'race', '0')
    const answers = await Promise.all(
      [...cluster.nodes.values(), ...cluster.nodes.values()].map((node, i) =>
        put(node, 'race', String(i), { 'if-match': `"${body.version ?? ''}"` }),
      ),
    )
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412, 412, 412, 412, 412])
  })

  test('a scan gives a range of keys of all tokens in order, whichever node is asked', async () => {
    const keys = Array.from({ length: 40 }, (_, i) => `scan/${String(i).padStart(3, '0')}`)
    await Promise.all(keys.map((key) => put(cluster.node('a'), key, `value of ${key}`)))
    for (const node of cluster.nodes.values()) {
      const answer = await fetch(`${node.url}/kv?from=scan/005&to=scan/030&limit=20&read=linearizable`)
      const { items } = (await answer.json()) as { items: { key: string; value: string }[] }
      expect(items.map(({ key }) => key)).toEqual(keys.slice(5, 25))
      expect(items.every(({ key, value }) => value === `value of ${key}`)).toBe(true)
    }
  })

  test('values are bytes: what is not text comes back equal, also in a scan', async () => {
    const bytes = new Uint8Array([0, 255, 128, 10, 13])
    await fetch(`${cluster.node('a').url}/kv/binary`, { method: 'PUT', body: bytes })
    const answer = await get(cluster.node('c'), 'binary', 'linearizable')
    expect(new Uint8Array(await answer.arrayBuffer())).toEqual(bytes)
    const listed = await fetch(`${cluster.node('b').url}/kv?from=binary&limit=1&read=linearizable`)
    const { items } = (await listed.json()) as { items: { base64?: string }[] }
    expect(items[0]?.base64).toBe(Buffer.from(bytes).toString('base64'))
  })

  test.each([
    ['PUT', '/kv/x', { 'request-id': 'nonsense' }, 400, 'KV_BAD_REQUEST_ID'],
    ['PUT', '/kv/x', { 'if-match': 'nonsense' }, 400, 'KV_BAD_CONDITION'],
    ['GET', '/kv/x?read=newest', {}, 400, 'KV_BAD_READ'],
    ['GET', '/kv/x?read=at-least=7', {}, 400, 'KV_BAD_POSITION'],
    ['GET', '/kv?limit=0', {}, 400, 'KV_BAD_LIMIT'],
    ['GET', `/kv/${'k'.repeat(513)}`, {}, 400, 'KV_BAD_KEY'],
    ['GET', '/kv/%ff', {}, 400, 'KV_BAD_KEY'],
    ['GET', '/nothing', {}, 404, 'KV_NO_SUCH_PATH'],
  ])('%s %.20s with %j is refused with what would be right', async (method, path, headers, status, code) => {
    const answer = await fetch(cluster.node('a').url + path, { method, headers: headers as Record<string, string> })
    expect(answer.status).toBe(status)
    expect(((await answer.json()) as { error: string }).error).toBe(code)
  })

  test('a value above the limit is refused before it is replicated', async () => {
    const answer = await put(cluster.node('a'), 'large', 'x'.repeat(524_289))
    expect([answer.status, answer.body.error, answer.body.applied]).toEqual([413, 'KV_VALUE_TOO_LARGE', 'no'])
  })
})
