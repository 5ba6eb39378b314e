/** A planned handover under writes: the longest pause between two acknowledged writes, over both nodes. */
import { nowMs, sleep } from '../lib/nodes.mjs'
import { ms } from '../lib/report.mjs'
import { median, summary } from '../lib/stats.mjs'

export const about = 'the longest pause of acknowledged writes around a planned handover'

const token = 'ledger'
const callers = 8
const aroundMs = 100

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const dir = scene.folder('kagami')
  const workers = []
  for (const id of ['a', 'b']) workers.push(await scene.worker({ dir, id }))
  for (const worker of workers) await worker.ask('tokens', { names: [token], options: { replicas: 1 } })
  for (const worker of workers) await worker.ask('write', { token, callers, bytes: 200 })

  const gaps = []
  const calm = []
  const calls = []
  for (let repetition = 0; repetition < (scene.quick ? 5 : 30); repetition++) {
    const { from, to } = await settled(workers)
    for (const worker of workers) await worker.ask('acknowledged')
    const quietFrom = nowMs()
    await sleep(3 * aroundMs)
    const began = nowMs()
    await from.ask('handover', { token, to: to.id })
    calls.push(nowMs() - began)
    await sleep(aroundMs)
    const times = (await Promise.all(workers.map((worker) => worker.ask('acknowledged')))).flat().sort((a, b) => a - b)
    gaps.push(longestPause(times, began - aroundMs, nowMs()))
    calm.push(longestPause(times, quietFrom, began - aroundMs))
  }
  const gap = summary('handover gap', gaps)
  const without = summary('pause without a handover', calm)
  return [
    {
      id: 'handover',
      what: 'longest pause of writes around a handover',
      shown: `p50 ${ms(gap.p50)}, max ${ms(gap.max)}`,
      against: `no handover, as long: p50 ${ms(without.p50)}, max ${ms(without.max)}`,
      wanted: '≤ 100 ms',
      met: gap.max <= 100,
      samples: gap.samples,
      figures: { gap, without, gapsMs: gaps, callMs: calls },
      notes: [`handover() itself resolves after ${ms(median('handover()', calls))}, in the middle`],
    },
  ]
}

/** Between acknowledged writes that lie, at least in part, within the time. */
function longestPause(times, from, to) {
  const within = times.filter((at) => at >= from && at <= to)
  if (within.length < 2) throw new Error(`only ${within.length} writes were acknowledged around a handover`)
  return Math.max(...within.slice(1).map((at, i) => at - within[i]))
}

async function settled(workers) {
  const until = performance.now() + 30_000
  for (;;) {
    const states = await Promise.all(workers.map((worker) => worker.ask('status')))
    const roles = states.map(({ copies }) => copies[token])
    const primary = roles.findIndex((copy) => copy?.role === 'primary')
    const other = roles[1 - primary]
    if (primary >= 0 && other?.role === 'replica' && other.caughtUp) {
      return { from: workers[primary], to: workers[1 - primary] }
    }
    if (performance.now() > until) throw new Error(`no rest within 30 s: ${JSON.stringify(states)}`)
    await sleep(20)
  }
}
