/** `replicate()` one at a time, against one synced write of the same bytes, taking turns; and how soon a replica has it. */
import { Counter, noSnapshots, nowMs } from '../lib/nodes.mjs'
import { ms } from '../lib/report.mjs'
import { lmdbTransactions, oneByOne, plainFile, plainFileAsync, takeTurns } from '../lib/sides.mjs'
import { ratios, summary } from '../lib/stats.mjs'

export const about = '200-byte entries, one at a time, against LMDB and a plain file; and at a replica'

const entryBytes = 200

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const dir = scene.folder('kagami')
  const entry = Buffer.alloc(entryBytes, 7)
  const kagami = await scene.node({ dir, id: 'a', stateMachine: () => new Counter(), snapshotting: noSnapshots })
  const alone = await kagami.token('alone', { replicas: 0, primary: 'self' })
  const file = scene.folder('file')
  const sides = [
    oneByOne('Kagami', () => alone.replicate(entry)),
    plainFile(file, entry),
    lmdbTransactions(file, entry, 1),
    plainFileAsync(file, entry),
  ]
  const results = await takeTurns(sides, { rounds: scene.quick ? 3 : 30, sliceMs: 100 })
  for (const side of sides) await side.close?.()
  const [ours, ...others] = results.map((rounds, side) => ({
    ...summary(sides[side].name, rounds.flat()),
    medians: rounds.map((round) => summary(sides[side].name, round).p50),
  }))
  const rows = others.map((theirs, i) => {
    const { name } = sides[i + 1]
    const ratio = ratios(`Kagami to ${name}`, ours.medians, theirs.medians)
    return {
      id: `latency-${['file', 'lmdb', 'file-async'][i]}`,
      what: `replicate() of ${entryBytes} bytes, one at a time`,
      shown: both(ours),
      against: `${name}: ${both(theirs)}`,
      ratio: ratio.p50,
      ...(i < 2 ? { wanted: 'p50 ≤ 2', met: ratio.p50 <= 2 } : {}),
      samples: ours.samples,
      figures: { kagamiMs: ours, othersMs: theirs, ratio },
      notes: [
        `in the least disturbed tenth: ${ms(ours.p10)} to ${ms(theirs.p10)}, ratio ${(ours.p10 / theirs.p10).toFixed(2)}`,
      ],
    }
  })
  return [...rows, await atReplica(scene, kagami, dir)]
}

/** How long after the call of `replicate` another process has applied the entry. */
async function atReplica(scene, kagami, dir) {
  const replica = await scene.worker({ dir, id: 'b', machine: 'stamped' })
  const token = await kagami.token('mirrored', { replicas: 1, primary: 'self' })
  await replica.until('in-sync', 0, ({ token: name }) => name === 'mirrored')
  const entry = Buffer.alloc(entryBytes, 7)
  const own = []
  let last
  for (let i = 0; i < (scene.quick ? 50 : 500); i++) {
    const from = nowMs()
    entry.writeDoubleLE(from)
    const { position } = await token.replicate(entry)
    own.push(nowMs() - from)
    last = position
    // Unhurried writes: a reader that is kept awake by the one before would be quicker than it is.
    if (position.index % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  const times = await replica.ask('underWay', { token: 'mirrored', position: last })
  const there = summary('an entry at the replica', times)
  const here = summary('an entry at the primary', own)
  return {
    id: 'latency-replica',
    what: 'from replicate() to applied at a replica in another process',
    shown: both(there),
    against: `acknowledged: ${both(here)}`,
    ratio: there.p50 / here.p50,
    samples: there.samples,
    figures: { replicaMs: there, primaryMs: here },
  }
}

function both({ p50, p99 }) {
  return `p50 ${ms(p50)}, p99 ${ms(p99)}`
}
