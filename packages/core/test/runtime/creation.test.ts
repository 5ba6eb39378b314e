/** How a call of `token()` ends, over documents that say what the test wants, and in clusters where the token comes to be served elsewhere meanwhile. */
import { expect, test } from 'vitest'
import type { CommitLog, TokenLog } from '../../src/contract/index.js'
import type { Assignment, Spec } from '../../src/engine/documents.js'
import { decodeFrame } from '../../src/engine/frame.js'
import { KagamiError } from '../../src/index.js'
import { createToken, type CreationContext } from '../../src/runtime/creation.js'
import type { LiveMember } from '../../src/runtime/membership.js'
import { SPEC } from '../engine/scenario.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'
import { ManualClock, rest } from './manual-clock.js'

const OWNED: Spec = { ...SPEC, generation: 2, primary: 'self', owner: 'a', replicas: 0 }
const AT_B: Assignment = {
  token: SPEC.token,
  incarnation: 3,
  phase: 'open',
  log: { address: 'L1', identity: 'L1' },
  epoch: 1,
  primary: { node: 'b', member: 'b1' },
  replicas: ['a'],
  snapshotter: null,
  handoverGivenUp: null,
}
const AT_A: Assignment = { ...AT_B, primary: { node: 'a', member: 'a1' }, replicas: ['b'] }
const failed = new KagamiError('KAGAMI_TOKEN_FAILED', 'the copy has failed')

/** A call by node a. `document` is what the coordinator holds, `heard` what this node has heard of it. */
class Call {
  document: Spec | KagamiError
  heard: Spec | undefined
  readonly clock = new ManualClock()
  readonly asked: (Spec | undefined)[] = []
  readonly #node = { role: 'replica', cannotWrite: false }
  #failure: KagamiError | undefined
  #draining: 'no' | 'drain' = 'no'
  #assignment = AT_B
  #changed: () => void = () => undefined
  outcome = 'pending'

  constructor(document: Spec, heard: Spec | undefined = document) {
    this.document = document
    this.heard = heard
    const live = (node: string): LiveMember => ({
      node,
      member: `${node}1`,
      data: { zone: null, capacity: 1, meta: null, draining: node === 'a' ? this.#draining : 'no' },
    })
    const context = {
      node: 'a',
      clock: this.clock,
      membership: {
        get members() {
          return ['a', 'b'].map(live)
        },
      },
      directory: {
        spec: () => this.heard,
        assignment: () => this.#assignment,
        until: (_token: string, condition: () => boolean) => this.#until(condition),
      },
      specs: { ensure: (...call: unknown[]) => this.#ensure(call[4] as Spec | undefined) },
      copy: () => this.#node,
      failure: () => this.#failure,
    }
    createToken(
      SPEC.token,
      { ...document },
      false,
      context as unknown as CreationContext,
      new AbortController().signal,
    ).then(
      () => (this.outcome = 'resolved'),
      (error: { code?: string; message: string }) => (this.outcome = error.code ?? error.message),
    )
  }

  /** Somebody changes the document, and this node hears of it. */
  async changes(spec: Partial<Spec>): Promise<string> {
    this.document = { ...(this.document as Spec), ...spec }
    this.heard = this.document
    return this.hears(this.#assignment)
  }

  async hears(assignment: Assignment, node: { role?: string; cannotWrite?: boolean } = {}): Promise<string> {
    Object.assign(this.#node, node)
    this.#assignment = assignment
    await rest()
    this.#changed()
    await rest()
    return this.outcome
  }

  async drains(): Promise<string> {
    this.#draining = 'drain'
    return this.hears(this.#assignment)
  }

  /** Its copy fails. */
  async loses(): Promise<string> {
    this.#failure = failed
    return this.hears(this.#assignment)
  }

  async #ensure(before: Spec | undefined): Promise<Spec> {
    this.asked.push(before)
    if (this.document instanceof KagamiError) throw this.document
    return this.document
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#changed = () => {
        try {
          if (condition()) resolve()
        } catch (error) {
          reject(error)
        }
      }
      this.#changed()
    })
  }
}

test('the owner waits until it serves', async () => {
  const call = new Call(OWNED)
  expect(await call.hears({ ...AT_A, primary: null })).toBe('pending')
  expect(await call.hears(AT_A)).toBe('pending')
  expect(await call.hears(AT_A, { role: 'primary' })).toBe('resolved')
})

test('it is done where the token has failed over, and stays there', async () => {
  expect(await new Call(OWNED).hears(AT_B)).toBe('resolved')
})

test.each([{ failback: true }, { failover: 'hold' }] as const)(
  'it waits where the token is to come back: %j',
  async (how) => {
    const call = new Call({ ...OWNED, ...how })
    expect(await call.hears(AT_B)).toBe('pending')
    expect(await call.hears(AT_A, { role: 'primary' })).toBe('resolved')
  },
)

test.each([
  [{ failover: 'hold' }, { failover: 'promote' }],
  [{ failback: true }, { failback: false }],
  [{ failback: true }, { handover: { to: 'b', nonce: 'n1' } }],
] as const)('of an owner with %j: it stays elsewhere once it is altered to %j', async (how, altered) => {
  const call = new Call({ ...OWNED, ...how })
  expect(await call.hears(AT_B)).toBe('pending')
  expect(await call.changes(altered)).toBe('resolved')
  expect(call.asked).toHaveLength(1)
})

test('a handover that was given up keeps a token with failback from nobody', async () => {
  const handover = { to: 'b', nonce: 'n1' }
  const call = new Call({ ...OWNED, failback: true, handover })
  expect(await call.hears({ ...AT_B, handoverGivenUp: 'n1' })).toBe('pending')
})

test('who has claimed it waits for the handover to this node, until that is given up', async () => {
  const call = new Call({ ...OWNED, handover: { to: 'a', nonce: 'n1' } })
  expect(await call.hears(AT_B)).toBe('pending')
  expect(await call.hears({ ...AT_B, handoverGivenUp: 'n1' })).toBe('resolved')
})

test.each([{ failback: true }, { failover: 'hold' }] as const)(
  '%j: nothing comes back to a node that is being drained',
  async (how) => {
    const call = new Call({ ...OWNED, ...how })
    expect(await call.hears(AT_B)).toBe('pending')
    expect(await call.drains()).toBe('resolved')
  },
)

test.each([{ failback: true }, { failover: 'hold' }] as const)(
  '%j: it is done where this node may not append, and another serves',
  async (how) => {
    const call = new Call({ ...OWNED, ...how })
    expect(await call.hears(AT_B)).toBe('pending')
    expect(await call.hears(AT_B, { cannotWrite: true })).toBe('resolved')
  },
)

test('a copy that has failed ends the wait of whoever needs it, and of nobody else', async () => {
  const held = new Call({ ...OWNED, failover: 'hold' })
  expect(await held.loses()).toBe('KAGAMI_TOKEN_FAILED')
  const replaced = new Call(OWNED)
  await replaced.hears(AT_A)
  await replaced.loses()
  expect(replaced.outcome).toBe('KAGAMI_TOKEN_FAILED')
  expect(await new Call(OWNED).loses()).toBe('resolved')
})

test('what was heard before it was asked for decides nothing', async () => {
  // This node has claimed it back, and has not heard of that yet.
  const claimed: Spec = { ...OWNED, handover: { to: 'a', nonce: 'n2' } }
  const call = new Call(claimed, { ...OWNED, handover: { to: 'b', nonce: 'n1' } })
  expect(await call.hears(AT_B)).toBe('pending')
  expect(await call.changes({})).toBe('pending')
  expect(await call.changes({ handover: { to: 'b', nonce: 'n3' } })).toBe('resolved')
})

test('what was changed before this node has heard of it is looked up', async () => {
  const call = new Call({ ...OWNED, failback: true }, { ...OWNED, generation: 1 })
  await call.hears(AT_B)
  // It hears of the later state alone, which might be an older one.
  expect(await call.changes({ handover: { to: 'b', nonce: 'n1' } })).toBe('pending')
  await call.clock.advance(5_000)
  expect(call.outcome).toBe('resolved')
  expect(call.asked).toEqual([undefined, { ...OWNED, failback: true }])
})

test('where another has claimed it meanwhile, or created it anew, to ask again tells', async () => {
  for (const other of [
    { owner: 'b' },
    { owner: 'b', generation: 3, removedBefore: 2 },
    { owner: null, primary: 'balanced', generation: 3, removedBefore: 2 },
  ] as const) {
    const call = new Call(OWNED)
    await call.hears({ ...AT_B, primary: null })
    await call.changes(other)
    expect(await call.hears(AT_B)).toBe('pending')
    call.document = new KagamiError('KAGAMI_TOKEN_OWNED', 'by another')
    await call.clock.advance(5_000)
    expect(call.outcome).toBe('KAGAMI_TOKEN_OWNED')
  }
})

test('who has claimed it back from another is done as soon as it serves, though it hears of that late', async () => {
  const call = new Call(OWNED)
  await call.hears({ ...AT_B, primary: null })
  await call.changes({ owner: 'b' })
  call.document = { ...OWNED, handover: { to: 'a', nonce: 'n1' } }
  await call.clock.advance(5_000)
  expect(await call.hears(AT_B)).toBe('pending')
  expect(await call.hears(AT_A, { role: 'primary' })).toBe('resolved')
})

test('it ends where the token is removed, but not for an earlier creation', async () => {
  const call = new Call(OWNED, { ...OWNED, generation: 1, removed: true })
  expect(await call.hears({ ...AT_A, incarnation: 2 })).toBe('pending')
  expect(await call.changes({ removed: true })).toBe('KAGAMI_TOKEN_UNKNOWN')
})

test('a balanced token is done wherever it has a live primary', async () => {
  const call = new Call({ ...OWNED, primary: 'balanced', owner: null })
  expect(await call.hears({ ...AT_B, primary: { node: 'b', member: 'b0' } })).toBe('pending')
  expect(await call.hears(AT_B)).toBe('resolved')
})

test("an owner that can't append hears of it that its token is altered to failover 'promote', and is served elsewhere", async () => {
  await using cluster = new TestCluster()
  const log = cluster.world.commitLog()
  const refused = new KagamiError('KAGAMI_LOG_REFUSED', 'this client may not write')
  const readOnly = delegate<CommitLog>(log, {
    open: async (...call: Parameters<CommitLog['open']>) => {
      const opened = await log.open(...call)
      return delegate<TokenLog>(opened, {
        append: (record: Uint8Array, options: Parameters<TokenLog['append']>[1]) =>
          decodeFrame(record).kind === 'barrier' ? Promise.reject(refused) : opened.append(record, options),
      })
    },
  })
  const b = await cluster.start('b')
  const a = await cluster.start('a', { log: readOnly })
  const call = a.token('orders', { primary: 'self', failover: 'hold', replicas: 1 })
  await eventually(() => b.get('orders')?.lag.caughtUp, 'a replica')
  // As KAGAMI_TOKEN_OWNED advises.
  await b.alter('orders', { failover: 'promote' })
  await eventually(() => b.get('orders')?.role === 'primary', 'b serves')
  expect((await call).role).toBe('replica')
  await b.get('orders')?.replicate(bytes('one'))
})

test('an owner with failback that was cut off hears of it that its token was handed to another node meanwhile', async () => {
  await using cluster = new TestCluster()
  const b = await cluster.start('b')
  await cluster.start('c')
  const a = await cluster.start('a')
  // The controller, b, can open no log: the call of a is under way.
  const reconnect = cluster.world.logs.cut('b')
  const call = a.token('orders', { primary: 'self', failback: true, replicas: 1 })
  await eventually(() => cluster.spec('orders')?.owner === 'a', 'the spec of a')
  const mend = cluster.world.coordination.cut('a')
  reconnect()
  const elsewhere = (): boolean => !['a', undefined].includes(cluster.assignment('orders')?.primary?.node)
  await eventually(elsewhere, 'it has failed over')
  await b.handover('orders', { to: 'b' })
  mend()
  await call
  expect(cluster.assignment('orders')?.primary?.node).toBe('b')
})
