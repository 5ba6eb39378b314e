/** Snapshots and restores of a large state by real nodes, against copying a file of that size, taking turns. */
import { randomFillSync } from 'node:crypto'
import { open } from 'node:fs/promises'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { join } from 'node:path'
import { Large, largeEntry, valueBytes } from '../lib/large.mjs'
import { megabytes, ms } from '../lib/report.mjs'
import { median, ratios } from '../lib/stats.mjs'

export const about = 'a state of 256 MiB persisted and restored, against copying a file'

const token = 'large'
const chunkBytes = 2 ** 20
/** Values that come in one entry. */
const atOnce = 256

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const stateBytes = (scene.quick ? 16 : 256) * 2 ** 20
  const dir = scene.folder('kagami')
  const entries = stateBytes / valueBytes / atOnce
  // A snapshot is due whenever as many entries have come as the first filling takes.
  const snapshotting = { everyEntries: entries, everyBytes: 1e15, everyMs: 1e9 }
  const kagami = await scene.node({ dir, id: 'a', stateMachine: () => new Large(), snapshotting })
  const handle = await kagami.token(token, { replicas: 0, primary: 'self' })
  const source = await makeFile(join(scene.folder('file'), 'source'), stateBytes)
  const copy = join(scene.folder('file'), 'copy')

  const copied = []
  const persisted = []
  const verified = []
  const restored = []
  const pauses = []
  const empty = largeEntry(0, 0)
  for (let round = 0; round < 3; round++) {
    copied.push(await copyFile(source, copy, stateBytes))
    const taken = snapshotOf(kagami)
    const delay = monitorEventLoopDelay({ resolution: 5 })
    await each(entries - 1, (i) => handle.replicate(round === 0 ? largeEntry(i * atOnce, atOnce) : empty))
    delay.enable()
    await handle.replicate(round === 0 ? largeEntry((entries - 1) * atOnce, atOnce) : empty)
    const { bytes, publishedMs, verifiedMs } = await taken
    delay.disable()
    pauses.push(delay.max / 1e6)
    persisted.push((1000 * bytes) / publishedMs)
    verified.push((1000 * bytes) / verifiedMs)

    copied.push(await copyFile(source, copy, stateBytes))
    const fresh = await scene.worker({ dir, id: `fresh${round}`, machine: 'large', snapshotting })
    await kagami.alter(token, { replicas: 1 })
    const { payload } = await fresh.until('restored', 0)
    if (payload.snapshot === undefined)
      throw new Error('the fresh node replayed the log instead of restoring a snapshot')
    restored.push((1000 * bytes) / payload.tookMs)
    await fresh.until('in-sync', 0)
    await kagami.alter(token, { replicas: 0 })
    await fresh.until('copy', 0, ({ opened }) => !opened)
    await fresh.ask('stop')
    await fresh.kill()
  }

  const size = `${stateBytes / 2 ** 20} MiB, ${(stateBytes / valueBytes).toLocaleString('en-US')} keys`
  const row = (id, what, samples, turn) => {
    // Only the copies of the same turn: others find other pages in the system's cache.
    const alike = copied.filter((_, i) => i % 2 === turn)
    const ratio = ratios(what, samples, alike)
    return {
      id,
      what: `${what} (${size})`,
      shown: megabytes(median(what, samples)),
      against: `copying a file, fsync included: ${megabytes(median('copying', alike))}`,
      ratio: ratio.p50,
      samples: samples.length,
      figures: { bytesPerSecond: samples, copyBytesPerSecond: alike, ratio },
    }
  }
  return [
    {
      ...row('snapshot', 'snapshot, captured to published', persisted, 0),
      notes: [
        `read back and verified as well: ${megabytes(median('verified', verified))}`,
        `longest pause of the event loop meanwhile: ${ms(median('pauses', pauses))}`,
      ],
    },
    row('restore', 'restore on a fresh node', restored, 1),
  ]
}

/** Resolves when the next snapshot is verified, with how long its parts took. */
function snapshotOf(kagami) {
  return new Promise((resolve, reject) => {
    let capturedAt
    let publishedAt
    const ignore = kagami.on('snapshot', ({ phase, bytes, error }) => {
      const at = performance.now()
      if (phase === 'captured') capturedAt = at
      if (phase === 'published') publishedAt = at
      if (phase !== 'verified' && phase !== 'failed') return
      ignore()
      if (phase === 'failed') reject(error)
      else resolve({ bytes, publishedMs: publishedAt - capturedAt, verifiedMs: at - capturedAt })
    })
  })
}

/** In order, with a few under way. */
async function each(count, task) {
  let next = 0
  const loop = async () => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: 8 }, loop))
}

async function makeFile(path, bytes) {
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(chunkBytes)
  for (let at = 0; at < bytes; at += chunkBytes) await file.write(randomFillSync(chunk))
  await file.sync()
  await file.close()
  return path
}

/** Reads and writes a file in chunks and syncs it, as `cp` and `sync` would. Gives bytes per second. */
async function copyFile(source, target, bytes) {
  const from = performance.now()
  const input = await open(source, 'r')
  const output = await open(target, 'w')
  const chunk = Buffer.alloc(chunkBytes)
  for (let at = 0; at < bytes;) {
    const { bytesRead } = await input.read(chunk, 0, chunkBytes, at)
    await output.write(chunk, 0, bytesRead, at)
    at += bytesRead
  }
  await output.sync()
  await Promise.all([input.close(), output.close()])
  return (1000 * bytes) / (performance.now() - from)
}
