/** The placement strategy's own benchmark, run as it is; nothing is measured here. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ms } from '../lib/report.mjs'

export const about = '10,000 tokens on 1,000 nodes: a full placement, one join, one leave'

const wanted = new Map([
  ['full placement', 1000],
  ['one join', 20],
  ['one leave', 20],
])

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const manifest = fileURLToPath(import.meta.resolve('@kagami/placement-even/package.json'))
  const program = join(dirname(manifest), 'bench', 'placement.mjs')
  const { setting, results } = JSON.parse(await scene.output(program, ['--json']))
  const rows = results
    .filter(({ name }) => wanted.has(name))
    .map(({ name, coldMs, medianMs, worstMs, moved, samples = 1 }) => {
      const limit = wanted.get(name)
      return {
        id: `placement-${name.replaceAll(' ', '-')}`,
        what: `placement, ${name}: ${setting.tokens} tokens, ${setting.nodes} nodes, ${setting.zones} zones`,
        shown: `p50 ${ms(medianMs)}, max ${ms(worstMs)}`,
        wanted: `≤ ${limit} ms`,
        met: medianMs <= limit,
        samples,
        figures: { coldMs, medianMs, worstMs, moved },
        notes: [
          `${name}: ${ms(coldMs)} when it is the first in its process; it moves ${moved.copies} copies, ${moved.primaries} primaries`,
        ],
      }
    })
  if (rows.length !== wanted.size) throw new Error(`${program} measures ${results.map(({ name }) => name).join(', ')}`)
  return rows
}
