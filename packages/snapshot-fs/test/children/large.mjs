// Writes a blob of so many MiB, reads it back, compares it, and prints the most memory that this process ever had.
import { fsSnapshotStore } from '../../dist/index.js'

const [dir, mebibytes] = process.argv.slice(2)
const quiet = () => undefined
const signal = new AbortController().signal
const store = fsSnapshotStore({ dir })
await store.start({
  cluster: 'shop',
  node: 'a',
  logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  signal,
})
const meta = { format: 1, id: 'large', token: 'orders', incarnation: 1, nextIndex: 1 }
const chunk = new Uint8Array(64 * 1024)
const count = Number(mebibytes) * 16

async function* content() {
  for (let index = 0; index < count; index += 1) {
    chunk.fill(index)
    yield chunk
  }
}

const began = performance.now()
const { bytes } = await store.create(meta, content(), { signal })
const written = performance.now()
let at = 0
for await (const part of store.open('orders', 'large', { signal })) {
  for (let from = 0; from < part.byteLength; from += 4096) {
    if (part[from] !== ((at + from) >>> 16) % 256) throw new Error(`byte ${at + from} is wrong`)
  }
  at += part.byteLength
}
if (at !== bytes || at !== count * chunk.byteLength) throw new Error(`${at} bytes came back`)
const rate = (from, to) => Math.round(Number(mebibytes) / ((to - from) / 1000))
const result = {
  peakMiB: Math.round(process.resourceUsage().maxRSS / 1024),
  writeMiBps: rate(began, written),
  readMiBps: rate(written, performance.now()),
}
await store.stop()
console.log(JSON.stringify(result))
