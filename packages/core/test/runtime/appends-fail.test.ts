/** A primary that can read its log, and whose appends fail or have no answer: it gives way to a copy that can write, and nothing storms where nobody can. */
import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { KagamiError, openCluster } from '../../src/index.js'
import type { LimitOptions } from '../../src/runtime/api.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

const limits: LimitOptions = {
  lookMs: 50,
  restoreTimeoutMs: 500,
  appendTimeoutMs: 100,
  retryMs: { first: 5, longest: 40 },
}

type Trouble = 'fail' | 'have no answer'

/** A log that takes nothing while `trouble` says so. */
function troubled(log: CommitLog, trouble: () => Trouble | undefined): CommitLog {
  const unreachable = new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'the producer has no connection', { retryable: true })
  return delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        append: (...args: Parameters<TokenLog['append']>) => {
          if (trouble() === undefined) return opened.append(...args)
          return trouble() === 'fail' ? Promise.reject(unreachable) : new Promise(() => undefined)
        },
      })
    },
  })
}

/** Nodes with copies in sync, a the first primary. `trouble` is what those named have with their logs. */
async function started(
  cluster: TestCluster,
  nodes: readonly string[],
  failback: boolean,
  { limits: own = limits }: { readonly limits?: LimitOptions } = {},
) {
  const trouble = new Map<string, Trouble>()
  for (const node of nodes) {
    await cluster.start(node, { limits: own, log: troubled(cluster.world.commitLog(), () => trouble.get(node)) })
  }
  const copies = nodes.map((node) => cluster.node(node))
  const orders = await cluster.node('a').token('orders', { primary: 'self', failback, replicas: nodes.length - 1 })
  await orders.replicate(bytes('one'))
  await eventually(() => copies.every((node) => node.get('orders')?.lag.caughtUp), 'replicas')
  return { orders, trouble }
}

test.each(['fail', 'have no answer'] as const)(
  'whose appends %s gives way, and gets the token back once the log takes something of it',
  async (how) => {
    await using cluster = new TestCluster()
    const { orders, trouble } = await started(cluster, ['a', 'b'], true)
    const before = cluster.assignment('orders')?.epoch ?? 0
    trouble.set('a', how)
    const sealed = orders.replicate(bytes('two')).catch((error: unknown) => error)
    const b = cluster.node('b')
    await eventually(() => b.get('orders')?.role === 'primary', 'the other takes over')
    expect(await sealed).toMatchObject({ code: 'KAGAMI_NOT_PRIMARY' })
    for (let i = 0; i < 20; i++) await b.get('orders')?.replicate(bytes(`${i}`))
    expect(cluster.assignment('orders')?.epoch).toBe(before + 1)
    trouble.clear()
    await eventually(() => orders.role === 'primary', 'the owner serves again')
    await orders.replicate(bytes('three'))
    expect(cluster.node('a').health()).toMatchObject({ ok: true })
  },
)

test('where nobody can write each copy is tried once; then it is told, and served as soon as the log takes something', async () => {
  await using cluster = new TestCluster()
  const nodes = ['a', 'b', 'c']
  const { orders, trouble } = await started(cluster, nodes, false)
  const before = cluster.assignment('orders')?.epoch ?? 0
  for (const node of nodes) trouble.set(node, 'fail')
  void orders.replicate(bytes('two')).catch(() => undefined)
  const told = (): boolean => nodes.every((node) => cluster.report(node, 'orders')?.error === 'KAGAMI_LOG_UNAVAILABLE')
  await eventually(told, 'all have tried')
  // The controller goes on with others all the while.
  await cluster.node('a').alter('orders', { weight: 2 })
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setTimeout(resolve, 25))
  expect(told()).toBe(true)
  expect(cluster.assignment('orders')?.epoch).toBe(before + 2)
  trouble.clear()
  const serving = await eventually(() => cluster.primary('orders'), 'it is served again')
  await serving.get('orders')?.replicate(bytes('three'))
  await eventually(() => nodes.every((node) => cluster.node(node).health().ok), 'all is well')
})

test('whose appends fail for no longer than they are waited for keeps the token', async () => {
  await using cluster = new TestCluster()
  const patient = { ...limits, appendTimeoutMs: 30_000 }
  const { orders, trouble } = await started(cluster, ['a', 'b'], false, { limits: patient })
  const { epoch } = orders
  trouble.set('a', 'fail')
  const written = orders.replicate(bytes('two'))
  await eventually(() => cluster.node('a').health().copies[0]?.appendError, 'it fails')
  // Longer than the others need to hear of what is told at once.
  await new Promise((resolve) => setTimeout(resolve, 300))
  trouble.clear()
  await written
  expect([orders.epoch, orders.role]).toEqual([epoch, 'primary'])
})

test('that gets its barrier into the log can write again, and tries nothing out for that', async () => {
  await using cluster = new TestCluster()
  // The first trial would come after half a minute.
  const { orders, trouble } = await started(cluster, ['a', 'b'], false, {
    limits: { ...limits, retryMs: { first: 5, longest: 10_000 } },
  })
  for (const node of ['a', 'b']) trouble.set(node, 'fail')
  void orders.replicate(bytes('two')).catch(() => undefined)
  await eventually(() => cluster.report('b', 'orders')?.appendsFail, 'both have tried')
  // Not of the other: what that one has sealed would still count, and it might get the token back.
  trouble.delete('b')
  await eventually(() => cluster.node('b').get('orders')?.role === 'primary', 'it serves')
  expect(cluster.node('b').health()).toMatchObject({ ok: true })
})

test('the only copy stays the primary, and the status of the cluster tells what it can not do', async () => {
  await using cluster = new TestCluster()
  const { orders, trouble } = await started(cluster, ['a'], false)
  const { epoch } = orders
  trouble.set('a', 'fail')
  void orders.replicate(bytes('two')).catch(() => undefined)
  await eventually(() => cluster.report('a', 'orders')?.appendsFail, 'it is reported')
  const admin = await openCluster({ cluster: 'test', coordinator: cluster.world.coordinator() })
  const status = await admin.status()
  await admin.stop()
  expect(status).toMatchObject({ ok: false, tokens: [{ ok: false }] })
  expect(status.tokens[0]?.problems.join()).toMatch(/takes nothing .* on node 'a' \(KAGAMI_LOG_UNAVAILABLE\)/)
  expect([orders.epoch, orders.role]).toEqual([epoch, 'primary'])
})
