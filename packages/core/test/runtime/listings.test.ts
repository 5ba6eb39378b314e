/** How snapshots are listed for a node's restores: how many at once, and who waits for how long. */
import { expect, test } from 'vitest'
import type { SnapshotRef } from '../../src/contract/index.js'
import { Listings } from '../../src/runtime/listings.js'
import { refOf } from '../engine/snapshots.js'
import { ManualClock, rest } from './manual-clock.js'

/** Far more than are asked at once. */
const MANY = 1_000

/** A store that answers when the test says so. */
class HeldStore {
  readonly calls: { readonly token: string; readonly signal: AbortSignal; answer(): void; fail(error: Error): void }[] =
    []
  heeds = true

  list(token: string, { signal }: { readonly signal: AbortSignal }): Promise<readonly SnapshotRef[]> {
    return new Promise((resolve, reject) => {
      this.calls.push({ token, signal, answer: () => resolve([refOf(token, 1)]), fail: reject })
      if (this.heeds) signal.addEventListener('abort', () => reject(signal.reason as Error))
    })
  }

  get open(): number {
    return this.calls.filter(({ signal }) => !signal.aborted).length
  }
}

function asking() {
  const clock = new ManualClock()
  const store = new HeldStore()
  const listings = new Listings(store, clock)
  const ended = new Map<string, { readonly atMs: number; readonly outcome: string }>()
  const note = (token: string, listed: Promise<readonly SnapshotRef[]>): void => {
    const end = (outcome: string): unknown => ended.set(token, { atMs: clock.monotonicMs(), outcome })
    listed.then(
      ([first]) => end(`listed ${first?.meta.id}`),
      (error: Error & { code?: string }) => end(error.code ?? error.message),
    )
  }
  const { signal } = new AbortController()
  return {
    clock,
    store,
    ended,
    list: (token: string, patienceMs = 2_000, end = signal) =>
      note(token, listings.list(token, { patienceMs, signal: end })),
    renew: (token: string, end = signal) => note(token, listings.renew(token, end)),
  }
}

const tokens = Array.from({ length: MANY }, (_, i) => `token-${i}`)

test('a store that answers nobody is waited for once, by however many tokens', async () => {
  const { clock, ended, list } = asking()
  for (const token of tokens) list(token)
  await clock.advance(1_999)
  expect(ended.size).toBe(0)
  await clock.advance(1)
  expect(ended.size).toBe(MANY)
  expect([...ended.values()].every(({ outcome }) => outcome === 'KAGAMI_TIMEOUT')).toBe(true)
})

test('a store that answers is asked by few at once, and all wait for their turn, however long that takes', async () => {
  const { clock, store, ended, list } = asking()
  for (const token of tokens) list(token)
  let most = 0
  for (let answered = 0; answered < MANY;) {
    await clock.advance(1_500)
    const asked = store.calls.slice(answered)
    most = Math.max(most, asked.length)
    for (const call of asked) call.answer()
    answered += asked.length
  }
  await rest()
  expect(most).toBe(64)
  expect(clock.monotonicMs()).toBeGreaterThan(10 * 2_000)
  expect(tokens.filter((token) => ended.get(token)?.outcome !== `listed ${token}`)).toEqual([])
})

test('that a store refuses is an answer, too', async () => {
  const { clock, store, ended, list } = asking()
  for (const token of tokens) list(token)
  await clock.advance(1_500)
  store.calls[0]?.fail(new Error('not now'))
  await clock.advance(1_999)
  expect(ended.get('token-0')?.outcome).toBe('not now')
  // Those that were asked have waited long enough; of the others nobody.
  const given = [...ended.values()].filter(({ outcome }) => outcome === 'KAGAMI_TIMEOUT')
  expect(given).toHaveLength(63)
})

test('whose answer does not come keeps its turn from nobody for longer than its patience, though the store heeds no signal', async () => {
  const { clock, store, ended, list } = asking()
  store.heeds = false
  for (const token of tokens.slice(0, 64)) list(token)
  await clock.advance(1_000)
  list('late')
  await clock.advance(1_000)
  expect(ended.size).toBe(64)
  expect(store.calls.at(-1)?.token).toBe('late')
  store.calls.at(-1)?.answer()
  await rest()
  expect(ended.get('late')).toEqual({ atMs: 2_000, outcome: 'listed late' })
})

test('a signal ends the wait for a turn and the wait for an answer with its reason, and gives the turn back', async () => {
  const { clock, store, ended, list } = asking()
  store.heeds = false
  const end = new AbortController()
  for (const token of tokens.slice(0, 100)) list(token, 2_000, end.signal)
  list('stays')
  await rest()
  expect(store.calls).toHaveLength(64)
  end.abort(new Error('the node stops'))
  await rest()
  expect(ended.size).toBe(100)
  expect([...ended.values()].every(({ outcome }) => outcome === 'the node stops')).toBe(true)
  expect(store.calls).toHaveLength(65)
  // Nobody's end is an answer of the store: it is silent all the same.
  await clock.advance(2_000)
  expect(ended.get('stays')).toEqual({ atMs: 2_000, outcome: 'KAGAMI_TIMEOUT' })
  expect(store.open).toBe(0)
})

test('what is renewed takes no turn, and waits half a second for a store that has just answered', async () => {
  const { clock, store, ended, list, renew } = asking()
  for (const token of tokens) list(token)
  await clock.advance(1_500)
  store.calls[0]?.answer()
  await rest()
  renew('again')
  expect(store.calls.at(-1)?.token).toBe('again')
  await clock.advance(499)
  expect(ended.has('again')).toBe(false)
  await clock.advance(1)
  expect(ended.get('again')).toEqual({ atMs: 2_000, outcome: 'KAGAMI_TIMEOUT' })
})

test('where a store has fallen silent, whoever renews hardly waits, until it answers again', async () => {
  const { clock, store, ended, renew } = asking()
  for (let i = 0; i < 64; i++) {
    const token = tokens[i]!
    renew(token)
    while (!ended.has(token)) await clock.advance(1)
  }
  expect(clock.monotonicMs()).toBeGreaterThan(500)
  expect(clock.monotonicMs()).toBeLessThanOrEqual(500 + 63 * 20)
  renew('answered')
  store.calls.at(-1)?.answer()
  await rest()
  expect(ended.get('answered')?.outcome).toBe('listed answered')
  await clock.advance(5_000)
  renew('patient')
  await clock.advance(499)
  expect(ended.has('patient')).toBe(false)
})
