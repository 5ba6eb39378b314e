/** "One poisoned token, one slow replica or one dead store delays no other token": copies that can't come on keep no other token's copies from their node. */
import { test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { KagamiError } from '../../src/index.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

const RESTORES_PER_NODE = 2
const STUCK = ['stuck0', 'stuck1']
const options = {
  limits: { lookMs: 50, restoreTimeoutMs: 500, stallTimeoutMs: 300 },
  placementLimits: { graceMs: 200, restoresPerNode: RESTORES_PER_NODE },
}

/** A commit log of which single logs are out of reach, as partitions of Kafka without a leader are. */
function withOutages(log: CommitLog, down: ReadonlySet<string>): CommitLog {
  const check = (address: string): void => {
    if (!down.has(address)) return
    throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', `the log ${address} has no leader now`, { retryable: true })
  }
  return delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      const { address } = opened
      return delegate<TokenLog>(opened, {
        async *read(...args: Parameters<TokenLog['read']>) {
          for await (const batch of opened.read(...args)) {
            check(address)
            yield batch
          }
        },
      })
    },
  })
}

test('copies that are cut off from their logs', async () => {
  await using cluster = new TestCluster()
  const down = new Set<string>()
  const a = await cluster.start('a', options)
  const b = await cluster.start('b', { ...options, log: withOutages(cluster.world.commitLog(), down) })
  for (const token of STUCK) await a.token(token, { replicas: 1, primary: 'self' })
  await eventually(() => STUCK.every((token) => b.get(token)?.lag.caughtUp), 'replicas')
  await (await a.token('good', { replicas: 0, primary: 'self' })).replicate(bytes('one'))
  for (const token of STUCK) down.add(cluster.assignment(token)?.log.address ?? '')
  await eventually(() => STUCK.every((token) => cluster.report('b', token)?.cutOff), 'they are cut off')
  await a.alter('good', { replicas: 1 })
  await eventually(() => b.get('good')?.lag.caughtUp, 'the replica of another token')
})

test('copies whose logs never answer when they are opened', async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const answering = new Set<string>()
  const deaf = delegate<CommitLog>(log, {
    open: (...call: Parameters<CommitLog['open']>) =>
      answering.has(call[0]) ? log.open(...call) : new Promise(() => undefined),
  })
  const a = await cluster.start('a', options)
  for (const token of STUCK) await a.token(token, { replicas: 1, primary: 'self' })
  await (await a.token('good', { replicas: 0, primary: 'self' })).replicate(bytes('one'))
  answering.add(cluster.assignment('good')?.log.address ?? '')
  const b = await cluster.start('b', { ...options, log: deaf })
  await eventually(() => STUCK.every((token) => cluster.assignment(token)?.replicas.includes('b')), 'they are assigned')
  await a.alter('good', { replicas: 1 })
  await eventually(() => b.get('good')?.lag.caughtUp, 'the replica of another token')
})
