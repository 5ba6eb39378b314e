/** `replicate()` with 64 callers in flight, against the same 64 entries per synced transaction or write, taking turns. */
import { embedded } from 'kagami/embedded'
import { Counter, noSnapshots } from '../lib/nodes.mjs'
import { rate } from '../lib/report.mjs'
import { lmdbTransactions, plainFile, replicating, takeTurns, throughputOf } from '../lib/sides.mjs'
import { median, ratios, summary } from '../lib/stats.mjs'

export const about = '200-byte entries, 64 in flight, against LMDB and a plain file'

const callers = 64
const entryBytes = 200

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const dir = scene.folder('kagami')
  const entry = Buffer.alloc(entryBytes, 7)
  const appends = { count: 0 }
  const engine = embedded({ dir })
  const kagami = await scene.node({
    dir,
    id: 'a',
    stateMachine: () => new Counter(),
    snapshotting: noSnapshots,
    log: counted(engine.log, appends),
    coordinator: engine.coordinator,
  })
  const replica = await scene.worker({ dir, id: 'b' })
  const alone = await kagami.token('alone', { replicas: 0, primary: 'self' })
  const since = 0
  const mirrored = await kagami.token('mirrored', { replicas: 1, primary: 'self' })
  await replica.until('in-sync', since, ({ token }) => token === 'mirrored')

  const file = scene.folder('file')
  const load = { callers, entry }
  const perAppend = { entries: [], before: 0 }
  const ours = replicating('alone', alone, load)
  const sides = [
    {
      ...ours,
      async slice(ms) {
        const before = appends.count
        const from = performance.now()
        const [perSecond] = await ours.slice(ms)
        perAppend.entries.push((perSecond * (performance.now() - from)) / 1000 / (appends.count - before))
        return [perSecond]
      },
    },
    throughputOf(lmdbTransactions(file, entry, callers), callers),
    throughputOf(plainFile(file, Buffer.concat(Array(callers).fill(entry))), callers),
    replicating('mirrored', mirrored, load),
  ]
  const results = await takeTurns(sides, { rounds: scene.quick ? 3 : 30, sliceMs: 150 })
  const [kagamiRates, lmdbRates, fileRates, mirroredRates] = results.map((rounds) => rounds.flat())
  for (const side of sides) await side.close?.()

  const shown = median('replicate, 64 in flight', kagamiRates)
  const best = (rates) => summary('rates', rates).p90
  const undisturbed = (rates) =>
    `in the least disturbed tenth of the slices: ${rate(best(kagamiRates))} to ${rate(best(rates))}, ratio ${(best(kagamiRates) / best(rates)).toFixed(2)}`
  const toLmdb = ratios('replicate to LMDB', kagamiRates, lmdbRates)
  const toFile = ratios('replicate to a file', kagamiRates, fileRates)
  const toAlone = ratios('mirrored to alone', mirroredRates, kagamiRates)
  const entriesPerWrite = median('entries per append', perAppend.entries)
  const what = `replicate() of ${entryBytes} bytes, ${callers} in flight`
  return [
    {
      id: 'throughput-lmdb',
      what,
      shown: rate(shown),
      against: `LMDB, ${callers} per synced transaction: ${rate(median('LMDB', lmdbRates))}`,
      ratio: toLmdb.p50,
      wanted: '≥ 0.7',
      met: toLmdb.p50 >= 0.7,
      samples: toLmdb.samples,
      figures: { perSecond: kagamiRates, lmdbPerSecond: lmdbRates, ratio: toLmdb, entriesPerWrite },
      notes: [`${entriesPerWrite.toFixed(1)} entries per synced write of the log`, undisturbed(lmdbRates)],
    },
    {
      id: 'throughput-file',
      what,
      shown: rate(shown),
      against: `plain file, ${callers} per write + fdatasync: ${rate(median('plain file', fileRates))}`,
      ratio: toFile.p50,
      samples: toFile.samples,
      figures: { filePerSecond: fileRates, ratio: toFile },
      notes: [undisturbed(fileRates)],
    },
    {
      id: 'throughput-mirrored',
      what: `${what}, with a replica in another process`,
      shown: rate(median('mirrored', mirroredRates)),
      against: `without a replica: ${rate(shown)}`,
      ratio: toAlone.p50,
      samples: toAlone.samples,
      figures: { perSecond: mirroredRates, ratio: toAlone },
    },
  ]
}

/** The log itself, with its appends counted. */
function counted(log, appends) {
  return delegate(log, {
    async open(address, options) {
      const opened = await log.open(address, options)
      const append = (record, call) => {
        appends.count++
        return opened.append(record, call)
      }
      return delegate(opened, { append })
    },
  })
}

function delegate(target, own) {
  return new Proxy(target, {
    get(_, key) {
      if (Object.hasOwn(own, key)) return own[key]
      const value = target[key]
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
