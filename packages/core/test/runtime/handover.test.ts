/** How a handover that was asked for ends, over documents and reports that say what the test wants. Whole clusters are in `cluster-changes` and `settling`. */
import { expect, test } from 'vitest'
import type { Document, Session } from '../../src/contract/index.js'
import { bucketOf, reportDocument, type Assignment, type Spec } from '../../src/engine/documents.js'
import { KagamiError, systemSeams, type Clock } from '../../src/index.js'
import { handOver, type HandoverContext } from '../../src/runtime/handover.js'
import type { LiveMember } from '../../src/runtime/membership.js'
import { REPORT, SPEC } from '../engine/scenario.js'
import { eventually } from './harness.js'

const ASSIGNED: Assignment = {
  token: 'orders',
  incarnation: 3,
  phase: 'open',
  log: { address: 'L1', identity: 'L1' },
  epoch: 1,
  reached: { incarnation: 1, index: 0 },
  primary: { node: 'a', member: 'a1' },
  replicas: ['b'],
  snapshotter: null,
  handoverGivenUp: null,
}
const toB = { primary: { node: 'b', member: 'b1' }, replicas: ['a'] }

const live = (node: string): LiveMember => ({
  node,
  member: `${node}1`,
  data: { zone: null, capacity: 1, meta: null, draining: 'no' },
})

/** Lets everything go on that waits for nothing but its turn. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** What a node hears of the token `orders`, and a handover of it to b. */
class Heard {
  spec: Spec | undefined = { ...SPEC, generation: 2 }
  /** What this node hears instead, as long as it hears late. */
  late: Spec | undefined
  assignment: Assignment | undefined = ASSIGNED
  asked = 0
  /** Which creations it was asked for, or whichever there is. */
  readonly meant: (number | undefined)[] = []
  outcome = 'pending'
  readonly #conditions = new Set<() => void>()
  /** How the next watches of the reports end, instead of telling anything. */
  readonly watchesEnd: ('lost' | 'by itself')[] = []
  watches = 0
  #reported: (document: ReadonlyMap<string, Document>) => void = () => undefined

  constructor(
    wanted: { readonly before?: Spec['handover']; readonly late?: Spec['handover']; readonly lateSpec?: Spec } = {},
  ) {
    const { before, late, lateSpec } = wanted
    if (before !== undefined) this.spec = { ...SPEC, generation: 2, handover: before }
    this.late = late === undefined ? lateSpec : { ...SPEC, generation: 2, handover: late }
    const { clock, random } = systemSeams()
    // A hundred times as fast.
    const fast: Clock = { ...clock, timer: (delayMs, callback) => clock.timer(delayMs / 100, callback) }
    const context = {
      clock: fast,
      random,
      membership: { members: ['a', 'b'].map(live), requireSession: () => this.#session() },
      directory: {
        spec: () => this.late ?? this.spec,
        assignment: () => this.assignment,
        until: (_token: string, condition: () => boolean) => this.#until(condition),
      },
      specs: {
        change: async (
          _token: string,
          generation: number | undefined,
          _signal: AbortSignal,
          change: (spec: Spec) => Spec,
        ) => {
          this.asked += 1
          this.meant.push(generation)
          if (this.spec === undefined) throw new Error('nobody knows the token')
          this.spec = change(this.spec)
          return this.spec
        },
      },
    }
    handOver('orders', 'b', context as unknown as HandoverContext, new AbortController().signal).then(
      () => (this.outcome = 'done'),
      (error: { code?: string; message: string }) => (this.outcome = error.code ?? error.message),
    )
  }

  /** The documents change. */
  hears(change: Partial<Assignment> | undefined): void {
    this.assignment = change && { ...ASSIGNED, ...this.assignment, ...change }
    for (const ask of [...this.#conditions]) ask()
  }

  /** Node b tells how its copy is. */
  async reports(incarnation: number, serving: number): Promise<void> {
    const tokens = [{ ...REPORT, incarnation, epoch: serving, serving }]
    await this.shows(reportDocument.encode({ member: 'b1', tokens }))
  }

  /** The document of node b's reports has these bytes. */
  async shows(bytes: Uint8Array): Promise<void> {
    const name = `reports/b/${bucketOf('orders')}`
    this.#reported(new Map([[name, { name, version: 1, bytes }]]))
    await turns()
  }

  /** The controller has carried out what was asked for, as b's epoch 2. */
  async taken(): Promise<void> {
    await eventually(() => this.spec?.handover?.to === 'b', 'it is asked for')
    await turns()
    this.hears({ epoch: 2, ...toB })
    await turns()
  }

  ends(): Promise<string> {
    return eventually(() => this.outcome !== 'pending' && this.outcome, 'an end')
  }

  #until(condition: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const ask = (): void => {
        try {
          if (!condition()) return
          resolve()
        } catch (error) {
          reject(error)
        }
        this.#conditions.delete(ask)
      }
      this.#conditions.add(ask)
      ask()
    })
  }

  #session(): Session {
    const next = (): Promise<ReadonlyMap<string, Document>> => new Promise((resolve) => (this.#reported = resolve))
    const ends = (): 'lost' | 'by itself' | undefined => {
      this.watches += 1
      return this.watchesEnd.shift()
    }
    return {
      async *watch() {
        const end = ends()
        if (end === 'lost') throw new KagamiError('KAGAMI_SESSION_LOST', 'the session is over')
        if (end === 'by itself') return
        for (;;) yield await next()
      },
    } as unknown as Session
  }
}

test('it is done when the other node serves what it was given, or something newer', async () => {
  for (const [incarnation, serving] of [
    [3, 2],
    [3, 4],
    [5, 1],
  ] as const) {
    const heard = new Heard()
    await heard.taken()
    await heard.reports(incarnation, serving)
    expect(await heard.ends()).toBe('done')
  }
})

test('what the other node served of an earlier incarnation, or epoch, is not it', async () => {
  const heard = new Heard()
  await heard.taken()
  for (const [incarnation, serving] of [
    [1, 9],
    [3, 1],
    [3, 0],
  ] as const)
    await heard.reports(incarnation, serving)
  expect(heard.outcome).toBe('pending')
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
})

test('a report that is damaged says nothing yet, and one of a newer format ends it', async () => {
  const heard = new Heard()
  await heard.taken()
  await heard.shows(new Uint8Array(0))
  expect(heard.outcome).toBe('pending')
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
  const newer = new Heard()
  await newer.taken()
  await newer.shows(Buffer.from(JSON.stringify({ format: 2, what: 'reports' })))
  expect(await newer.ends()).toBe('KAGAMI_UNKNOWN_FORMAT')
})

test('it ends where another node is given the token: at a higher epoch, at the same one, and in a newer incarnation at a lower one', async () => {
  const toA = { primary: ASSIGNED.primary, replicas: ['b'] }
  for (const change of [{ epoch: 3 }, { epoch: 2 }, { incarnation: 5, epoch: 1 }]) {
    const heard = new Heard()
    await heard.taken()
    heard.hears({ ...toA, ...change })
    expect(await heard.ends()).toBe('KAGAMI_NO_COPY')
  }
})

test('it ends where the other node loses the token, and nobody else can have it', async () => {
  const heard = new Heard()
  await heard.taken()
  heard.hears({ primary: null, replicas: ['a', 'b'] })
  expect(await heard.ends()).toBe('KAGAMI_NO_COPY')
})

test('it ends where the controller has given it up', async () => {
  const heard = new Heard()
  const wish = await eventually(() => heard.spec?.handover ?? undefined, 'it is asked for')
  heard.hears({ handoverGivenUp: wish.nonce })
  expect(await heard.ends()).toBe('KAGAMI_NO_COPY')
})

test('it ends where the token is to be held for its owner', async () => {
  const heard = new Heard()
  const wish = await eventually(() => heard.spec?.handover ?? undefined, 'it is asked for')
  heard.spec = { ...SPEC, ...heard.spec, primary: 'self', owner: 'a', failover: 'hold' }
  heard.hears({ handoverGivenUp: wish.nonce })
  expect(await heard.ends()).toBe('KAGAMI_TOKEN_OWNED')
})

test('it is asked for again where the documents go back to before it', async () => {
  const heard = new Heard()
  await heard.taken()
  heard.spec = { ...SPEC, generation: 2 }
  heard.hears({ epoch: 1, primary: ASSIGNED.primary, replicas: ['b'] })
  await eventually(() => heard.asked === 2 && heard.spec?.handover?.to === 'b', 'it is asked for again')
  heard.hears({ epoch: 2, ...toB })
  await turns()
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
  // The creation that was there at first is meant, whatever has been made since.
  expect(heard.meant).toEqual([undefined, 2])
})

test('it is asked for again where the documents go back to an earlier one to the same node, which was given up', async () => {
  const earlier = { to: 'b', nonce: 'earlier' }
  const heard = new Heard({ before: earlier })
  await eventually(() => heard.asked === 1, 'it is asked for')
  await turns()
  heard.spec = { ...heard.spec!, handover: earlier }
  heard.hears({ handoverGivenUp: earlier.nonce })
  await eventually(() => heard.spec?.handover?.nonce !== earlier.nonce, 'it is asked for again')
  expect([heard.asked, heard.outcome]).toEqual([2, 'pending'])
  await heard.taken()
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
})

test('it ends where the coordinator knows nothing of the token any more, and goes on where it comes back', async () => {
  const lost = new Heard()
  await lost.taken()
  lost.spec = undefined
  lost.hears(undefined)
  expect(await lost.ends()).toBe('nobody knows the token')
  const back = new Heard()
  await back.taken()
  back.hears(undefined)
  back.hears({ epoch: 2, ...toB })
  await back.reports(3, 2)
  expect(await back.ends()).toBe('done')
})

test('one that was wanted before the one before it does not end it, though this node hears of that late', async () => {
  const heard = new Heard({ before: { to: 'b', nonce: 'second' }, late: { to: 'c', nonce: 'first' } })
  await eventually(() => heard.asked > 0, 'it is asked for')
  heard.hears({ replicas: ['b', 'c'] })
  await turns()
  expect(heard.outcome).toBe('pending')
  heard.late = undefined
  await heard.taken()
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
})

test('one that is wanted after it ends it, also where this node has never heard of it itself', async () => {
  for (const late of [undefined, { to: 'c', nonce: 'first' }]) {
    const heard = new Heard(late === undefined ? {} : { late })
    await eventually(() => heard.asked > 0 && heard.spec?.handover?.to === 'b', 'it is asked for')
    heard.hears({})
    heard.spec = { ...SPEC, generation: 2, handover: { to: 'c', nonce: 'third' } }
    heard.hears({})
    expect(await heard.ends()).toBe('KAGAMI_SUPERSEDED')
  }
})

test('it outlives the session in which its end was watched for, and a watch that ends by itself', async () => {
  const heard = new Heard()
  heard.watchesEnd.push('lost', 'by itself', 'lost')
  await heard.taken()
  await eventually(() => heard.watches === 4, 'it watches for the fourth time')
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
})

test('the removal of an earlier creation, of which this node hears late, does not end it; that of its own does', async () => {
  const heard = new Heard({ lateSpec: { ...SPEC, generation: 1, removed: true } })
  await heard.taken()
  expect(heard.outcome).toBe('pending')
  await heard.reports(3, 2)
  expect(await heard.ends()).toBe('done')
  const over = new Heard()
  await over.taken()
  over.late = { ...SPEC, generation: 2, removed: true }
  over.hears({})
  expect(await over.ends()).toBe('KAGAMI_TOKEN_UNKNOWN')
})
