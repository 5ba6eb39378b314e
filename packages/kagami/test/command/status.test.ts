/** `kagami status` and `kagami snapshots`, beside a cluster of real processes. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ClusterStatus } from '../../src/index.js'
import { Running, Shop } from './shop.js'

function statusOf(json: unknown): ClusterStatus {
  return json as ClusterStatus
}

test('a cluster that is well is shown with its members, tokens and copies, and ends with 0', async () => {
  const shop = await Shop.open(['a', 'b', 'c'])
  await shop.token('a', 'orders', { replicas: 1, primary: 'self' })
  await shop.token('b', 'carts', { replicas: 2 })
  await shop.ask('a', 'replicate', { token: 'orders', count: 25 })
  const { controller } = await shop.seen(({ ok, tokens }) => ok && tokens[1]?.snapshot !== null)
  const { exitCode, stdout, stderr, json } = await shop.kagami('status', '--json')
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' })
  expect(
    stdout
      .split('\n')
      .slice(0, -2)
      .every((line) => line.length <= 80),
  ).toBe(true)
  expect(stdout).toMatch(new RegExp(`^${controller} +zone-${controller} +1 +\\d +\\d +controller$`, 'm'))
  expect(stdout).toMatch(/^orders {2,}\d+\/1 {2,}a {2,}[bc] {2,}\d+, \d+ s ago$/m)
  expect(stdout).toMatch(/^OK: shop has 3 members, controller [abc]; 2 of 2 tokens fine$/m)
  expect(statusOf(json)).toMatchObject({ cluster: 'shop', ok: true, controller })
  expect(statusOf(json).members.map(({ node }) => node)).toEqual(['a', 'b', 'c'])
  expect((await shop.look(controller!)).controller).toBe(true)

  const one = await shop.kagami('status', '--token', 'orders', '--json')
  expect(one.exitCode).toBe(0)
  expect(one.stdout.replaceAll('\n', ' ')).toContain(
    "wanted: 1 replica, primary 'self', owned by a, failover 'promote', failback false, weight 1",
  )
  expect(one.stdout).toMatch(/^a +primary +serving +\d+ +0/m)
  expect(statusOf(one.json).tokens.map(({ token }) => token)).toEqual(['orders'])
})

test('after kill -9 of a node it ends with 1 until all copies are there again, and then with 0', async () => {
  const shop = await Shop.open(['a', 'b', 'c'])
  await shop.token('a', 'orders', { replicas: 2, primary: 'self' })
  await shop.seen(({ ok }) => ok)
  await shop.kill('a')
  const after = await shop.kagami('status', '--json')
  expect(after.exitCode).toBe(1)
  expect(after.stdout).toMatch(/^orders: .*\d of 2 replicas are in sync|^orders: its primary is lost/m)
  expect(after.stdout).toMatch(/^NOT OK: shop has /m)
  await shop.seen(({ tokens }) => tokens[0]?.copies[0]?.state === 'serving' && tokens[0].epoch === 2)
  const failedOver = await shop.kagami('status', '--json')
  expect(failedOver.exitCode).toBe(1)
  expect(statusOf(failedOver.json).members.map(({ node }) => node)).toEqual(['b', 'c'])
  expect(statusOf(failedOver.json).tokens[0]).toMatchObject({ epoch: 2, problems: ['1 of 2 replicas are in sync'] })
  await shop.start('a')
  await shop.seen(({ ok }) => ok)
  expect(await shop.kagami('status')).toMatchObject({ exitCode: 0, stderr: '' })
})

test('a copy that has failed is shown with its code', async () => {
  const shop = await Shop.open(['a', 'b'])
  await shop.token('a', 'orders', { replicas: 1, primary: 'self' })
  await shop.seen(({ ok }) => ok)
  await shop.ask('b', 'break')
  await shop.ask('a', 'replicate', { token: 'orders', count: 1 })
  await shop.seen(({ tokens }) => tokens[0]?.copies[1]?.state === 'failed')
  const { exitCode, stdout } = await shop.kagami('status')
  expect(exitCode).toBe(1)
  expect(stdout.replace(/\s+/g, ' ')).toContain('b (failed KAGAMI_APPLY_FAILED)')
  const one = await shop.kagami('status', '--token', 'orders')
  expect(one.stdout).toMatch(/^b +replica +failed .* KAGAMI_APPLY_FAILED/m)
})

test('snapshots are listed newest first, and a token that does not exist is told with its code', async () => {
  const shop = await Shop.open(['a'])
  await shop.token('a', 'orders', { replicas: 0, primary: 'self' })
  await shop.ask('a', 'replicate', { token: 'orders', count: 25 })
  await shop.seen(({ tokens }) => tokens[0]?.snapshot?.verified === true && tokens[0].snapshot.next.index > 10)
  const { exitCode, stdout, json } = await shop.kagami('snapshots', 'orders', '--json')
  expect(exitCode).toBe(0)
  const { token, snapshots } = json as { token: string; snapshots: { next: { index: number }; bytes: number }[] }
  expect(token).toBe('orders')
  const indexes = snapshots.map(({ next }) => next.index)
  expect(indexes.length).toBeGreaterThan(0)
  expect(indexes).toEqual(indexes.toSorted((x, y) => y - x))
  expect(stdout).toMatch(/^position +size +taken +by +verified$/m)
  expect(stdout).toMatch(new RegExp(`^\\d+/${indexes[0]} +\\d+ B +20\\d\\d-.*Z +\\d+ s ago +a +yes$`, 'm'))
  for (const args of [
    ['snapshots', 'nothing'],
    ['status', '--token', 'nothing'],
  ]) {
    const unknown = await shop.kagami(...args, '--json')
    expect(unknown).toMatchObject({ exitCode: 1, json: { error: { code: 'KAGAMI_TOKEN_UNKNOWN' } } })
    expect(unknown.stderr).toContain('(KAGAMI_TOKEN_UNKNOWN)')
  }
})

test('--watch shows each change, ends at once with Ctrl-C, and leaves nothing behind', async () => {
  const shop = await Shop.open(['a', 'b'])
  await shop.token('a', 'orders', { replicas: 1 })
  await shop.seen(({ ok }) => ok)
  const watching = new Running(['status', '--watch', '--json', ...shop.place])
  await watching.shows(/^OK: shop has 2 members.*1 of 1 tokens fine$/m)
  expect((await shop.look('a')).members).toEqual(['a', 'b'])
  watching.forget()
  await shop.kill('b')
  await watching.shows(/^NOT OK: shop has 1 member, .*0 of 1 tokens fine$/m)
  watching.forget()
  await shop.start('b')
  await watching.shows(/^OK: shop has 2 members.*1 of 1 tokens fine$/m)
  const beganMs = performance.now()
  watching.signal('SIGINT')
  const { pid, exitCode, json, stderr } = await watching.ended
  expect(performance.now() - beganMs).toBeLessThan(2_000)
  expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: '' })
  expect(statusOf(json).ok).toBe(true)
  expect(await shop.tracesOf(pid)).toEqual([])
})

test('--watch goes on with another session where it has lost its own', async () => {
  const shop = await Shop.open(['a', 'b'])
  await shop.token('a', 'orders', { replicas: 1 })
  const kagami = new URL('../../dist/', import.meta.url).href
  const config = join(shop.dir, 'config.mjs')
  // Its first session is lost at a signal.
  await writeFile(
    config,
    `import { embedded } from '${kagami}embedded.js'
import { KagamiError } from '${kagami}index.js'
export const cluster = 'shop'
const { coordinator: real } = embedded({ dir: ${JSON.stringify(shop.dir)}, mustExist: true })
const loss = new AbortController()
process.once('SIGUSR2', () => loss.abort(new KagamiError('KAGAMI_SESSION_LOST', 'the session has expired')))
let sessions = 0
export const coordinator = new Proxy(real, { get: (target, key) => {
  if (key !== 'connect') return typeof target[key] === 'function' ? target[key].bind(target) : target[key]
  return async (options) => {
    const session = await target.connect(options)
    const signal = ++sessions === 1 ? AbortSignal.any([session.signal, loss.signal]) : session.signal
    return new Proxy(session, { get: (own, name) =>
      name === 'signal' ? signal : typeof own[name] === 'function' ? own[name].bind(own) : own[name] })
  }
} })
`,
  )
  const watching = new Running(['status', '--watch', '--config', config])
  await watching.shows(/^OK: shop has 2 members/m)
  watching.forget()
  watching.signal('SIGUSR2')
  await watching.shows(/^OK: shop has 2 members/m)
  watching.forget()
  await shop.kill('b')
  await watching.shows(/^NOT OK: shop has 1 member, /m)
  watching.signal('SIGINT')
  const { pid, exitCode, stderr } = await watching.ended
  expect({ exitCode, stderr }).toEqual({ exitCode: 130, stderr: '' })
  expect(await shop.tracesOf(pid)).toEqual([])
})
