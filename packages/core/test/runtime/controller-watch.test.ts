import { expect, test } from 'vitest'
import { orAborted, type CallOptions, type Coordinator, type Document, type Session } from '../../src/contract/index.js'
import { assignmentDocument, bucketOf, memberData, specDocument, type Assignment } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import { Controller, type ControllerContext } from '../../src/runtime/controller.js'
import { NEW, SPEC } from '../engine/scenario.js'
import { delegate, eventually, TestCluster } from './harness.js'
import { ManualClock } from './manual-clock.js'

const prefix = 'assignments/'
const ASSIGNMENTS = prefix + bucketOf(SPEC.token)
const SPECS = `specs/${bucketOf(SPEC.token)}`
const MEMBER = { zone: null, capacity: 1, meta: null, draining: 'no' } as const
const WANTED = specDocument.encode({ tokens: [{ ...SPEC, replicas: 0 }] })
const ASSIGNED: Assignment = { ...NEW, epoch: 1, primary: { node: 'b', member: 'b1' }, snapshotter: 'b' }

/**
 * Shows watchers of the assignments the state with the first document only when the second is written: it is older than what the
 * controller has written, as it may be when the coordinator takes its time to answer.
 */
class LateWatches {
  readonly elapsed = { stale: 0 }
  #created = 0
  readonly #seen = signal()
  readonly #written = signal()

  over(coordinator: Coordinator): Coordinator {
    return delegate(coordinator, {
      connect: async (options: { signal: AbortSignal }) => {
        const session = await coordinator.connect(options)
        return delegate(session, {
          watch: (name: string, call: { signal: AbortSignal }) =>
            name === prefix ? this.#watch(session, call) : session.watch(name, call),
          write: (...write: Parameters<Session['write']>) => this.#write(session, write),
        })
      },
    })
  }

  async *#watch(session: Session, call: { signal: AbortSignal }): AsyncGenerator<ReadonlyMap<string, Document>> {
    for await (const documents of session.watch(prefix, call)) {
      if (documents.size === 1) {
        this.#seen.set()
        await this.#written.isSet
        this.elapsed.stale += 1
      }
      yield documents
    }
  }

  async #write(session: Session, write: Parameters<Session['write']>): Promise<number> {
    const [name, , expected] = write
    const creates = name.startsWith(prefix) && expected === undefined
    const second = creates && ++this.#created === 2
    if (second) await this.#seen.isSet
    const version = await session.write(...write)
    if (second) this.#written.set()
    return version
  }
}

test('a state of a watch that is older than what the controller has written does not depose it', async () => {
  expect(bucketOf('one')).not.toBe(bucketOf('two'))
  await using cluster = new TestCluster()
  const watches = new LateWatches()
  const a = cluster.make('a', { coordinator: watches.over(cluster.world.coordinator({ sessionTimeoutMs: 500 })) })
  cluster.nodes.set('a', a)
  const elections: boolean[] = []
  a.on('controller', ({ elected }) => elections.push(elected))
  await a.start()
  await Promise.all(['one', 'two'].map((token) => a.token(token, { replicas: 0 })))
  await a.token('three', { replicas: 0, primary: 'self' })
  expect(watches.elapsed.stale).toBeGreaterThan(0)
  expect(elections).toEqual([true])
})

test('a controller whose assignments have vanished from the coordinator gives up its rule', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  await a.token('one', { replicas: 0, primary: 'self' })
  const elections: boolean[] = []
  a.on('controller', ({ elected }) => elections.push(elected))
  cluster.world.coordination.wipe()
  await eventually(() => elections.includes(false), 'the controller notices')
})

/** A coordinator at rest, of which the test alone changes the documents. Member b1 of node b has the one token, as it should. */
class Still {
  readonly #documents = new Map<string, Document>()
  #changed = signal()
  readonly session = {
    campaign: async () => ({ epoch: 2, signal: new AbortController().signal, resign: async () => undefined }),
    watch: (under: string, call: CallOptions) => this.#watch(() => this.#under(under), call),
    watchMembers: (call: CallOptions) =>
      this.#watch(() => [{ node: 'b', member: 'b1', data: memberData.encode(MEMBER) }], call),
    read: async (name: string) => this.#documents.get(name),
    write: async (name: string, bytes: Uint8Array) => this.put(name, bytes, this.version(name) + 1),
  } as unknown as Session

  constructor() {
    this.put(ASSIGNMENTS, assignmentDocument.encode({ controller: 1, tokens: [ASSIGNED] }), 7)
    this.put(SPECS, WANTED, 1)
  }

  version(name: string): number {
    return this.#documents.get(name)?.version ?? 0
  }

  put(name: string, bytes: Uint8Array, version: number): number {
    this.#documents.set(name, { name, version, bytes })
    this.#changed.set()
    this.#changed = signal()
    return version
  }

  #under(prefix: string): ReadonlyMap<string, Document> {
    return new Map([...this.#documents].filter(([name]) => name.startsWith(prefix)))
  }

  async *#watch<T>(now: () => T, { signal: until }: CallOptions): AsyncGenerator<T> {
    for (;;) {
      const { isSet } = this.#changed
      yield now()
      await orAborted(isSet, until)
    }
  }
}

test('a document that has gone back is written anew five seconds after that is seen, whenever else there is something to look at', async () => {
  const clock = new ManualClock()
  const quiet = () => undefined
  const coordinator = new Still()
  const controller = new Controller({
    settings: {
      seams: { ...systemSeams(), clock, logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } },
      graceMs: 200,
      limits: { stallTimeoutMs: 10_000 },
      restoresPerNode: 4,
    },
    placement: { name: 'still', place: () => new Map([[SPEC.token, { primary: 'b', replicas: [] }]]) },
    events: { emit: quiet },
    log: {},
    store: {},
  } as unknown as ControllerContext)
  const end = new AbortController()
  const running = controller.run(coordinator.session, 'b1', end.signal)
  await clock.advance(20_000)
  const written = coordinator.version(ASSIGNMENTS)
  await clock.advance(20_000)
  expect(coordinator.version(ASSIGNMENTS)).toBe(written)
  expect(written).toBeGreaterThan(7)

  coordinator.put(ASSIGNMENTS, assignmentDocument.encode({ controller: 1, tokens: [] }), 3)
  await clock.advance(4_000)
  coordinator.put(SPECS, WANTED, 2)
  await clock.advance(999)
  expect(coordinator.version(ASSIGNMENTS)).toBe(3)
  await clock.advance(1)
  expect(coordinator.version(ASSIGNMENTS)).toBeGreaterThan(3)
  end.abort()
  await clock.advance(100)
  await running
})

function signal(): { readonly isSet: Promise<void>; set(): void } {
  let set: () => void = () => undefined
  const isSet = new Promise<void>((resolve) => (set = resolve))
  return { isSet, set: () => set() }
}
