/** What is shown at a terminal: within its width, and never steering it. */
import type { ClusterStatus, CopyStatus, TokenStatus } from '@kagami/core'
import { expect, test } from 'vitest'
import { show } from '../../src/command/screen.js'
import { age, bytes, table } from '../../src/command/text.js'
import { clusterView, snapshotsView, tokenView } from '../../src/command/views.js'

const view = { width: 80, nowMs: 1_800_000_000_000 }

function copy(node: string, change: Partial<CopyStatus> = {}): CopyStatus {
  const next = { incarnation: 57_000_001, index: 123_456 }
  const state = 'in-sync'
  return {
    node,
    role: 'replica',
    state,
    next,
    lag: 0,
    snapshotter: false,
    snapshotFails: false,
    error: null,
    ...change,
  }
}

function token(name: string, change: Partial<TokenStatus> = {}): TokenStatus {
  return {
    token: name,
    phase: 'open',
    ok: true,
    problems: [],
    incarnation: 57_000_001,
    epoch: 12,
    wanted: { replicas: 1, primary: 'balanced', weight: 1, failover: 'promote', failback: false, owner: null },
    handover: null,
    copies: [copy('a', { role: 'primary', state: 'serving' }), copy('b')],
    snapshot: null,
    ...change,
  }
}

function status(tokens: readonly TokenStatus[]): ClusterStatus {
  const member = { zone: null, capacity: 1, draining: 'no', meta: null, primaries: 1, copies: 2 } as const
  const members = ['a', 'b'].map((node) => ({
    node,
    member: `${node}.0123456789abcdef`,
    controller: node === 'a',
    ...member,
  }))
  return { cluster: 'shop', ok: tokens.every(({ ok }) => ok), controller: 'a', members, tokens, snapshotsError: null }
}

const snapshot = {
  id: '57000001-120000-b.0123456789abcdef-0123456789abcdef',
  next: { incarnation: 57_000_001, index: 120_000 },
  epoch: 12,
  bytes: 123_456_789,
  takenAtMs: view.nowMs - 150_000,
  member: 'b.0123456789abcdef',
  verified: true,
}

test('a cluster that is well', () => {
  expect(`\n${clusterView(status([token('orders', { snapshot })]), view)}\n`).toBe(`
node  zone  capacity  primaries  copies
a        -         1          1       2  controller
b        -         1          1       2

token   epoch        primary  replicas  snapshot
orders  57000001/12  a        b         120,000, 3 min ago

OK: shop has 2 members, controller a; 1 of 1 tokens fine
`)
})

test('however much is wrong it stays within its width, and says what', () => {
  const trouble = status([
    token('orders-of-a-customer-with-a-name-that-is-longer-than-any-line-of-a-terminal-is-wide-by-far', {
      ok: false,
      problems: ["its primary is lost with node 'a'", '0 of 3 replicas are in sync'],
      copies: [
        copy('a', { role: 'primary', state: 'lost', next: null, lag: null }),
        copy('b', { state: 'behind', lag: 1234 }),
        copy('c', { state: 'failed', error: 'KAGAMI_APPLY_FAILED' }),
        copy('d', { state: 'restoring', next: null, lag: null }),
      ],
      handover: 'b',
      snapshot,
    }),
    token('carts', { ok: false, phase: 'creating', copies: [], problems: ['it is not created yet'] }),
  ])
  const shown = clusterView({ ...trouble, controller: null }, view)
  expect(shown.split('\n').filter((line) => line.length > view.width)).toEqual([])
  const text = shown.replace(/\s+/g, ' ')
  for (const part of [
    '(lost)',
    '(1,234 behind),',
    'KAGAMI_APPLY_FAILED),',
    'creating',
    'carts: it is not created yet',
    'NOT OK: shop has 2 members, no known controller; 0 of 2 tokens fine',
  ])
    expect(text).toContain(part)
  expect(tokenView(status([trouble.tokens[0]!]), view)).toMatch(
    /^c +replica +failed +123,456 +0 +KAGAMI_APPLY_FAILED$/m,
  )
  const store = { code: 'KAGAMI_STORE_UNAVAILABLE', message: 'could not list it' } as const
  expect(clusterView({ ...status([]), snapshotsError: store }, view)).toContain(
    'snapshots: could not list it (KAGAMI_STORE_UNAVAILABLE)',
  )
})

test('a name can not steer the terminal', () => {
  const name = 'a\u001b[2Jb\nc'
  for (const shown of [
    clusterView(status([token(name, { ok: false, problems: ['it is not created yet'] })]), view),
    tokenView(status([token(name)]), view),
    snapshotsView(name, [], view),
  ]) {
    expect(shown).toContain('a\\u001b[2Jb\\u000ac')
    expect(shown).not.toContain('\u001b')
  }
})

test('snapshots show position, size, time and node', () => {
  expect(`\n${snapshotsView('orders', [snapshot], view)}\n`).toBe(`
position         size     taken                 ${''}           by  verified
57000001/120000  118 MiB  2027-01-15 07:57:30Z  3 min ago  b   yes
`)
})

test('figures are short', () => {
  expect([0, 1023, 1024, 123_456_789, 5 * 2 ** 40].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '118 MiB',
    '5.0 TiB',
  ])
  expect([-5, 4_000, 200_000, 20_000_000, 2_000_000_000].map(age)).toEqual([
    '0 s ago',
    '4 s ago',
    '3 min ago',
    '6 h ago',
    '23 d ago',
  ])
  expect(
    table(
      [
        ['a', 'b'],
        ['x', 1_234],
        ['y', '-'],
      ],
      80,
    ),
  ).toBe('a      b\nx  1,234\ny      -')
})

test('a terminal shows each state in the place of the last, its end where not all fits; anything else gets one below the other', () => {
  const written: string[] = []
  const write = (text: string | Uint8Array): boolean => written.push(String(text)) > 0
  show({ write, isTTY: true, rows: 4 }, 'one\ntwo\nthree')
  show({ write, isTTY: true, rows: 4 }, 'one\ntwo\nthree\nfour\nfive')
  show({ write, isTTY: false, rows: 0 }, 'one\ntwo')
  expect(written).toEqual([
    '\u001b[Hone\u001b[K\ntwo\u001b[K\nthree\u001b[K\n\u001b[J',
    '\u001b[H(3 lines that do not fit are left out)\u001b[K\nfour\u001b[K\nfive\u001b[K\n\u001b[J',
    'one\ntwo\n\n',
  ])
})
