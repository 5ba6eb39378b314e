// Publishes snapshot after snapshot until it is killed, and says on standard output when it begins one and when one is published.
import { createHash } from 'node:crypto'
import { fsSnapshotStore } from '../../dist/index.js'

const [dir, round] = process.argv.slice(2)
const quiet = () => undefined
const signal = new AbortController().signal
const store = fsSnapshotStore({ dir })
await store.start({
  cluster: 'shop',
  node: 'a',
  logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  signal,
})

/** Bytes that the id alone decides, so that the reader can make them too. */
async function* content(id) {
  const seed = createHash('sha256').update(id).digest()
  for (let index = 0; index < 2 + (seed[0] % 12); index += 1) {
    const chunk = Buffer.alloc(100_000, createHash('sha256').update(`${id} ${index}`).digest())
    process.stdout.write(`chunk ${id} ${index}\n`)
    yield chunk
    await new Promise((resolve) => setImmediate(resolve))
  }
}

for (let number = 0; ; number += 1) {
  const id = `${round}-${number}`
  const meta = {
    format: 1,
    id,
    token: `token ${number % 3}`,
    incarnation: Number(round) + 1,
    epoch: 1,
    term: '0000000000000001',
    nextSeq: 0,
    nextIndex: number,
    chain: '0000000000000000',
    level: 0,
    anchor: { offset: '0', checksum: 0 },
    log: { address: 'log', identity: 'log' },
    schemaVersion: 0,
    takenAtMs: 0,
    member: `a-${round}`,
  }
  process.stdout.write(`begin ${id}\n`)
  await store.create(meta, content(id), { signal })
  process.stdout.write(`published ${id}\n`)
}
