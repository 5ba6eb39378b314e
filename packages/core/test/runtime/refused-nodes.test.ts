/** A node that may read a token's log and not write to it, beside one that may: whoever can write is the primary, and stays it. */
import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import { KagamiError, type Kagami, type TokenOptions } from '../../src/index.js'
import type { LimitOptions } from '../../src/runtime/api.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'

const limits: LimitOptions = { lookMs: 50, restoreTimeoutMs: 500, retryMs: { first: 5, longest: 20 } }

/** A log that refuses what is appended through it while `readOnly` holds. */
function guarded(log: CommitLog, readOnly: () => boolean): CommitLog {
  const refused = new KagamiError('KAGAMI_LOG_REFUSED', 'this client may not write')
  return delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        append: (...args: Parameters<TokenLog['append']>) =>
          readOnly() ? Promise.reject(refused) : opened.append(...args),
      })
    },
  })
}

/** Both nodes, with copies of the tokens in sync. Those that a serves are refused from here on; they are given back once b serves them. */
async function refusedAtA(cluster: TestCluster, tokens: readonly string[], options: TokenOptions) {
  let readOnly = false
  const b = await cluster.start('b', { limits })
  const a = await cluster.start('a', { limits, log: guarded(cluster.world.commitLog(), () => readOnly) })
  for (const token of tokens) await a.token(token, { ...options, replicas: 1 })
  await eventually(() => tokens.every((token) => [a, b].every((node) => node.get(token)?.lag.caughtUp)), 'copies')
  const refuse = async (): Promise<readonly string[]> => {
    const mine = tokens.filter((token) => a.get(token)?.role === 'primary')
    readOnly = true
    for (const token of mine) {
      await expect(a.get(token)?.replicate(bytes('lost'))).rejects.toMatchObject({ code: 'KAGAMI_INDETERMINATE' })
      await eventually(() => b.get(token)?.role === 'primary', `b takes over ${token}`)
    }
    return mine
  }
  return { a, b, refuse, mend: () => (readOnly = false) }
}

/** Lets the controller go through its tokens a few times, as changes of another one show. */
async function rounds(node: Kagami<number>, cluster: TestCluster): Promise<void> {
  await node.token('another', { replicas: 0 })
  for (const replicas of [1, 0, 1, 0]) {
    await node.alter('another', { replicas })
    await eventually(() => cluster.assignment('another')?.replicas.length === replicas, 'it is carried out')
  }
}

test.each([
  ['that was handed over to it', {}],
  ['that it owns and is to have back', { primary: 'self', failback: true }],
  ['that it is to have for evenness', {}],
] as const)('it is not made the primary again of a token %s', async (how, options) => {
  await using cluster = new TestCluster()
  const even = how.endsWith('evenness')
  const { a, b, refuse } = await refusedAtA(cluster, even ? ['t0', 't1', 't2', 't3'] : ['t0'], options)
  if (how.startsWith('that was handed')) await b.handover('t0', { to: 'a' })
  await eventually(() => a.health().copies.some(({ role }) => role === 'primary'), 'a serves one')
  const tokens = await refuse()
  const epochs = () => tokens.map((token) => cluster.assignment(token)?.epoch)
  const before = epochs()
  await rounds(b, cluster)
  for (const token of tokens) for (let i = 0; i < 20; i++) await b.get(token)?.replicate(bytes(`${i}`))
  expect(epochs()).toEqual(before)
})

test('people who hand over to it are told that it was given up, and the token is served where it was', async () => {
  await using cluster = new TestCluster()
  const { b, refuse } = await refusedAtA(cluster, ['t0'], { primary: 'self' })
  await refuse()
  await expect(b.handover('t0', { to: 'a' })).rejects.toMatchObject({ code: 'KAGAMI_NO_COPY', retryable: true })
  await b.get('t0')?.replicate(bytes('served'))
})

test('it gets its tokens back once the log takes something of it again, with nobody telling', async () => {
  await using cluster = new TestCluster()
  const { a, refuse, mend } = await refusedAtA(cluster, ['t0'], { primary: 'self', failback: true })
  await refuse()
  expect(a.health().problems.join()).toMatch(/KAGAMI_LOG_REFUSED/)
  mend()
  await eventually(() => a.get('t0')?.role === 'primary', 'the owner serves again')
  await a.get('t0')?.replicate(bytes('served'))
  expect(a.health()).toMatchObject({ ok: true })
})
