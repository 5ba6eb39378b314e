/** Runs every suite under node:test, on the built packages. With BROKEN set, the store is one that lists by time. */
import { describe, it } from 'node:test'
import { evenPlacement } from '@kagami/placement-even'
import {
  commitLogSuite,
  coordinatorSuite,
  memoryCluster,
  placementSuite,
  snapshotStoreSuite,
  stateMachineSuite,
} from '@kagami/testkit'

const timing = { patienceMs: 5_000, quietMs: 20 }

commitLogSuite(
  { describe, it },
  {
    timing,
    capabilities: { outage: true, fill: true, recreate: true, loseTail: true },
    setup: () => {
      const world = memoryCluster()
      return {
        open: () => world.commitLog(),
        outage: () => world.logs.cut(),
        fill: () => world.logs.fill(),
        recreate: (address) => world.logs.recreate(address),
        loseTail: (address, count) => world.logs.loseTail(address, count),
      }
    },
  },
)

coordinatorSuite(
  { describe, it },
  {
    timing,
    capabilities: { outage: false, fill: false, partition: true, expire: true, wipe: false, damage: false },
    setup: () => {
      const world = memoryCluster()
      return {
        open: () => world.coordinator({ sessionTimeoutMs: 300 }),
        partition: (node) => world.coordination.cut(node),
        expire: (node) => world.coordination.expire(node),
      }
    },
  },
)

snapshotStoreSuite(
  { describe, it },
  {
    timing,
    capabilities: { outage: false, fill: false, corrupt: true, tear: false, boundedMemory: false },
    setup: () => {
      const world = memoryCluster()
      return {
        open: () => (process.env.BROKEN === undefined ? world.snapshotStore() : listingByTime(world.snapshotStore())),
        corrupt: (token, id) => world.snapshots.corrupt(token, id),
      }
    },
  },
)

placementSuite(
  { describe, it },
  {
    setup: () => evenPlacement(),
    capabilities: { even: true, zones: true, fewestMoves: true },
    inputs: 20,
  },
)

stateMachineSuite(
  { describe, it },
  {
    setup: () => new Counts(),
    entries: (i) => `word ${i % 17}`,
    digest: (machine) => JSON.stringify(machine.sorted()),
    capabilities: { manyChunks: true },
  },
)

/** How often each word came. */
class Counts {
  #counts = new Map()

  apply({ value }) {
    const count = (this.#counts.get(value) ?? 0) + 1
    this.#counts.set(value, count)
    return count
  }

  sorted() {
    return [...this.#counts].sort()
  }

  snapshot() {
    const lines = this.sorted().map((pair) => Buffer.from(`${JSON.stringify(pair)}\n`))
    return {
      async *persist({ signal }) {
        for (const line of lines) {
          signal.throwIfAborted()
          yield line
        }
      },
      release() {},
    }
  }

  async restore(chunks) {
    const parts = []
    for await (const chunk of chunks) parts.push(chunk.slice())
    const lines = Buffer.concat(parts).toString().split('\n').slice(0, -1)
    this.#counts = new Map(lines.map((line) => JSON.parse(line)))
  }
}

function listingByTime(store) {
  const list = store.list.bind(store)
  store.list = async (...call) => (await list(...call)).toSorted((a, b) => b.meta.takenAtMs - a.meta.takenAtMs)
  return store
}
