// Writes so many entries of so many bytes to a token with a replica, with a snapshot and a truncation every so many. Prints memory, the size of the
// folder and the number of snapshots, at a quarter, at the half and at the end. Both nodes are in this process.
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { createKagami } from 'kagami'
import { Counter, memory } from './counter.mjs'

const [dir, entries, bytes, everyEntries] = process.argv.slice(2)
const nodes = ['a', 'b'].map((id) =>
  createKagami({
    cluster: 'shop',
    dir,
    node: { id },
    stateMachine: () => new Counter(),
    snapshotting: { everyEntries: Number(everyEntries) },
    // Small frames, so that what is kept by the frame is seen as well as what is kept by the entry.
    limits: { maxFrameEntries: 50 },
  }),
)
const [a, b] = nodes
await Promise.all(nodes.map((node) => node.start()))
const inSync = new Promise((resolve) => b.on('in-sync', resolve))
const orders = await a.token('orders', { primary: 'self' })
await inSync
let written = 0

/** A thousand calls are under way at any time. */
async function writeUpTo(count) {
  const flow = async () => {
    while (written < count) {
      written += 1
      await orders.replicate(Buffer.alloc(Number(bytes), written))
    }
  }
  await Promise.all(Array.from({ length: 1000 }, flow))
}

/** What all files below the folder come to; those that are deleted meanwhile are gone. */
function lookAtFolder() {
  const paths = readdirSync(dir, { recursive: true })
  let disk = 0
  for (const path of paths) disk += statSync(join(dir, path), { throwIfNoEntry: false })?.size ?? 0
  return { disk, snapshots: paths.filter((path) => path.endsWith('.snap')).length }
}

const looks = []
for (const share of [0.25, 0.5, 1]) {
  await writeUpTo(Number(entries) * share)
  await b.get('orders').sync()
  looks.push({ ...(await memory()), ...lookAtFolder() })
}
const applied = nodes.map((node) => node.get('orders').state.count)
const problems = nodes.flatMap((node) => node.health().problems)
await Promise.all(nodes.map((node) => node.stop()))
console.log(JSON.stringify({ applied, looks, problems }))
