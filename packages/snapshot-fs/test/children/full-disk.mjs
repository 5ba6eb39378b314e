// In a mount namespace of its own: what the store does on a file system of 1 MiB that gets full, and prints what came of it.
import { execFileSync } from 'node:child_process'
import { readdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fsSnapshotStore } from '../../dist/index.js'

const [dir] = process.argv.slice(2)
const signal = new AbortController().signal
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir])

async function open() {
  const warnings = []
  const quiet = () => undefined
  const warn = (message) => warnings.push(message)
  const store = fsSnapshotStore({ dir })
  await store.start({ cluster: 'shop', node: 'a', logger: { debug: quiet, info: quiet, warn, error: warn }, signal })
  return { store, warnings }
}

async function* content(bytes, fill) {
  for (let left = bytes; left > 0; left -= 10_000) yield Buffer.alloc(Math.min(left, 10_000), fill)
}

const metaOf = (id, nextIndex) => ({ format: 1, id, token: 'orders', incarnation: 1, nextIndex })
const create = async (store, id, index, bytes) => {
  try {
    return (await store.create(metaOf(id, index), content(bytes, id), { signal })).bytes
  } catch ({ code, retryable, details }) {
    return { code, retryable, cause: details.code }
  }
}
const ids = async (store) => (await store.list('orders', { signal })).map(({ meta }) => meta.id)
const isWhole = async (store, id, bytes) => {
  const parts = []
  for await (const part of store.open('orders', id, { signal })) parts.push(part)
  return Buffer.concat(parts).equals(
    Buffer.concat((await Array.fromAsync?.(content(bytes, id))) ?? (await collect(content(bytes, id)))),
  )
}
async function collect(parts) {
  const collected = []
  for await (const part of parts) collected.push(part)
  return collected
}

const { store } = await open()
const result = { first: await create(store, 'first', 1, 300_000), second: await create(store, 'second', 2, 5_000_000) }
result.afterFull = {
  ids: await ids(store),
  files: readdirSync(join(dir, 'shop', 'orders')),
  whole: await isWhole(store, 'first', 300_000),
}
result.otherToken = await create(
  { create: (meta, ...rest) => store.create({ ...meta, token: 'carts' }, ...rest) },
  'third',
  3,
  5_000_000,
)
result.folders = readdirSync(join(dir, 'shop'))

// Full to the last byte and inode: a node must still start, and restore.
const fillers = []
try {
  for (;;) {
    const filler = join(dir, `filler-${fillers.length}`)
    writeFileSync(filler, Buffer.alloc(fillers.length < 20 ? 50_000 : 1))
    fillers.push(filler)
  }
} catch ({ code }) {
  result.filled = code
}
const again = await open()
result.restarted = {
  warnings: again.warnings.length,
  ids: await ids(again.store),
  whole: await isWhole(again.store, 'first', 300_000),
}
result.whileFull = await create(again.store, 'fourth', 4, 10)
for (const name of readdirSync(dir)) if (name.startsWith('filler')) unlinkSync(join(dir, name))
result.afterRoom = { bytes: await create(again.store, 'second', 2, 400_000), ids: await ids(again.store) }
await Promise.all([store.stop(), again.store.stop()])
console.log(JSON.stringify(result))
