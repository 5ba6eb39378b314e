import { expect, test } from 'vitest'
import type { Coordinator, Document, Session } from '../../src/contract/index.js'
import { bucketOf } from '../../src/engine/documents.js'
import { delegate, eventually, TestCluster } from './harness.js'

const prefix = 'assignments/'

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

function signal(): { readonly isSet: Promise<void>; set(): void } {
  let set: () => void = () => undefined
  const isSet = new Promise<void>((resolve) => (set = resolve))
  return { isSet, set: () => set() }
}
