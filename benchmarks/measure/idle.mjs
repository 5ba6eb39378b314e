/** What nodes cost that have nothing to do: CPU of a process with many tokens, and of three that mirror each other. */
import { sleep } from '../lib/nodes.mjs'
import { ms, percent } from '../lib/report.mjs'
import { median, summary } from '../lib/stats.mjs'

export const about = 'CPU and event-loop delay of nodes that have nothing to do'

const measuredSeconds = 5

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const seconds = scene.quick ? 1 : measuredSeconds
  return [await oneProcess(scene, scene.quick ? 50 : 1000, seconds), await threeProcesses(scene, seconds)]
}

async function oneProcess(scene, count, seconds) {
  const dir = scene.folder('many')
  const worker = await scene.worker({ dir, id: 'a' })
  const created = performance.now()
  await worker.ask('tokens', { names: names(count), options: { replicas: 0 } })
  const tookMs = performance.now() - created
  await calm()
  const cpu = summary('idle CPU', await worker.ask('cpu', { seconds }))
  const delay = await worker.ask('loopDelay', { ms: 500 * seconds })
  const { rss } = await worker.ask('memory')
  await worker.kill()
  return {
    id: 'idle-many',
    what: `idle, 1 process with ${count.toLocaleString('en-US')} tokens: CPU of one core`,
    shown: `p50 ${percent(cpu.p50)}, max ${percent(cpu.max)}`,
    samples: cpu.samples,
    figures: { cpuPercent: cpu, loopDelayMs: delay, createdMs: tookMs, rssBytes: rss },
    notes: [
      `event loop late by p50 ${ms(delay.p50)}, p99 ${ms(delay.p99)}, max ${ms(delay.max)}; ${Math.round(rss / 2 ** 20)} MiB resident; ` +
        `the tokens were created in ${ms(tookMs)}`,
    ],
  }
}

async function threeProcesses(scene, seconds) {
  const dir = scene.folder('three')
  const workers = []
  for (const id of ['a', 'b', 'c']) workers.push(await scene.worker({ dir, id }))
  await workers[0].ask('tokens', { names: names(16), options: { replicas: 1 } })
  await calm()
  const shares = await Promise.all(workers.map((worker) => worker.ask('cpu', { seconds })))
  const delays = await Promise.all(workers.map((worker) => worker.ask('loopDelay', { ms: 500 * seconds })))
  const worst = delays.reduce((a, b) => (b.p99 > a.p99 ? b : a))
  return {
    id: 'idle-three',
    what: 'idle, 3 processes with 16 mirrored tokens: CPU of one core, each',
    shown: shares.map((each) => percent(median('idle CPU', each))).join(', '),
    samples: shares.flat().length,
    figures: { cpuPercent: shares, loopDelayMs: delays },
    notes: [
      `event loop late by p50 ${ms(worst.p50)}, p99 ${ms(worst.p99)}, max ${ms(worst.max)}, in the worst of them`,
    ],
  }
}

function names(count) {
  return Array.from({ length: count }, (_, i) => `t${String(i).padStart(4, '0')}`)
}

/** Creation is over, and what follows it too. */
function calm() {
  return sleep(2000)
}
