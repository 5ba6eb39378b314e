/** Ten million small entries through one copy, with snapshots and truncation: whether its memory grows with its log. */
import { rate } from '../lib/report.mjs'

export const about = '10 million entries through one copy, and its memory after each million'
export const long = true

const token = 'busy'
const callers = 2048

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const dir = scene.folder('kagami')
  const step = scene.quick ? 20_000 : 1_000_000
  // With the collector at hand, what is left after it tells a leak from slack.
  const worker = await scene.worker({ dir, id: 'a', snapshotting: {} }, ['--expose-gc'])
  await worker.ask('tokens', { names: [token], options: { replicas: 0, primary: 'self' } })
  const points = []
  let tookMs = 0
  for (let i = 1; i <= 10; i++) {
    const filled = await worker.ask('fill', { token, entries: step, callers })
    if (filled.entries !== i * step) throw new Error(`${filled.entries} entries are applied, instead of ${i * step}`)
    tookMs += filled.tookMs
    points.push({ entries: i * step, ...(await worker.ask('memory')) })
  }
  const mib = ({ rss }) => Math.round(rss / 2 ** 20)
  const settled = points.slice(1)
  const growth = Math.max(...settled.map((point) => point.rss)) / points[1].rss
  return [
    {
      id: 'memory',
      what: `${(10 * step).toLocaleString('en-US')} entries of 16 to 64 bytes through one copy: resident`,
      shown: `${mib(points.at(-1))} MiB at the end`,
      against: `after ${(2 * step).toLocaleString('en-US')}: ${mib(points[1])} MiB`,
      ratio: points.at(-1).rss / points[1].rss,
      wanted: 'bounded',
      met: growth < 1.5,
      samples: points.length,
      figures: { points, tookMs, growth },
      notes: [
        `MiB resident after each tenth: ${points.map(mib).join(' ')}; live heap ${points.map(({ heapUsed }) => (heapUsed / 2 ** 20).toFixed(1)).join(' ')}`,
        `${rate((10_000 * step) / tookMs)} with ${callers} in flight`,
      ],
    },
  ]
}
