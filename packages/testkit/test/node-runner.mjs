/** Runs the suites of the adapters under node:test, on the built package. With BROKEN set, on a store that lists by time. */
import { describe, it } from 'node:test'
import { commitLogSuite, coordinatorSuite, memoryCluster, snapshotStoreSuite } from '@kagami/testkit'

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
    capabilities: { outage: false, partition: true, expire: true, wipe: false },
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

function listingByTime(store) {
  const list = store.list.bind(store)
  store.list = async (...call) => (await list(...call)).toSorted((a, b) => b.meta.takenAtMs - a.meta.takenAtMs)
  return store
}
