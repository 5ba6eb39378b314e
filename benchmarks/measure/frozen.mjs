/** SIGSTOP of one of two processes that append to one log, at any moment: how long the other can't append. */
import { nowMs, sleep } from '../lib/nodes.mjs'
import { ms } from '../lib/report.mjs'
import { summary } from '../lib/stats.mjs'

export const about = 'the longest pause of appends while another process of the log is frozen'

const kinds = { embedded: 'the embedded log', lmdb: 'LMDB, the same records in synced transactions' }

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const stops = scene.quick ? 2 : 20
  const frozenMs = scene.quick ? 100 : 500
  const pauses = { embedded: [], lmdb: [] }
  for (const kind of Object.keys(kinds)) {
    const dir = scene.folder(kind)
    const survivor = await scene.appender({ kind, dir, id: 'a' })
    const victim = await scene.appender({ kind, dir, id: 'b', address: survivor.started })
    await sleep(300)
    for (let stop = 0; stop < stops; stop++) {
      await survivor.ask('acknowledged')
      // Anywhere within an append.
      await sleep(100 + Math.random() * 20)
      const began = nowMs()
      victim.freeze()
      await sleep(frozenMs)
      const ended = nowMs()
      victim.thaw()
      const times = await survivor.ask('acknowledged')
      pauses[kind].push(longestPause(times, began, ended))
    }
    await Promise.all([survivor.kill(), victim.kill()])
  }
  const ours = summary(kinds.embedded, pauses.embedded)
  const theirs = summary(kinds.lmdb, pauses.lmdb)
  const blocked = (samples) => samples.filter((pause) => pause >= frozenMs / 2).length
  return [
    {
      id: 'frozen',
      what: `longest pause of appends while another process is frozen for ${frozenMs} ms`,
      shown: `p50 ${ms(ours.p50)}, max ${ms(ours.max)}`,
      against: `${kinds.lmdb}: p50 ${ms(theirs.p50)}, max ${ms(theirs.max)}`,
      ratio: ours.p50 / theirs.p50,
      samples: ours.samples,
      figures: { ours, theirs, pausesMs: pauses },
      notes: [
        `held up for at least half of the time: ${blocked(pauses.embedded)} of ${stops} times, with LMDB ${blocked(pauses.lmdb)} of ${stops}`,
      ],
    },
  ]
}

/** Without an acknowledgement, within the time. */
function longestPause(times, from, to) {
  const within = [from, ...times.filter((at) => at > from && at < to), to]
  return Math.max(...within.slice(1).map((at, i) => at - within[i]))
}
