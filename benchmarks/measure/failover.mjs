/** kill -9 of the primary's process, to the first write that a survivor acknowledges, with the steps in between. */
import { sleep } from '../lib/nodes.mjs'
import { ms } from '../lib/report.mjs'
import { median, summary } from '../lib/stats.mjs'

export const about = 'kill -9 of the primary to the first acknowledged write on a survivor'

const token = 'ledger'
const tokens = { names: [token], options: { replicas: 1 } }

/** @param {import('../lib/scene.mjs').Scene} scene @returns {Promise<import('../lib/report.mjs').Row[]>} */
export async function run(scene) {
  const dir = scene.folder('kagami')
  const workers = new Map()
  const start = async (id) => {
    const worker = await scene.worker({ dir, id })
    workers.set(id, worker)
    await worker.ask('tokens', tokens)
    await worker.ask('write', { token, callers: 1, bytes: 200 })
  }
  for (const id of ['a', 'b', 'c']) await start(id)

  const steps = []
  for (let repetition = 0; repetition < (scene.quick ? 3 : 14); repetition++) {
    const { primary, controller } = await settled(workers)
    // Not always at the same point of whatever goes on at intervals.
    await sleep(50 + Math.random() * 400)
    const victim = workers.get(primary)
    const epoch = lastOf(victim, 'promoted').payload.epoch
    workers.delete(primary)
    const killedAt = victim.killNow()
    const survivors = [...workers.values()]
    const later = (payload) => payload.token === token && payload.epoch > epoch
    const promoted = await Promise.any(survivors.map((worker) => worker.until('promoted', killedAt, later)))
    const winner = survivors.find((worker) => worker.events.includes(promoted))
    const acknowledged = await winner.until('acknowledged', promoted.at)
    const assigned = await winner.until('assigned', killedAt, later)
    steps.push({
      detectMs: assigned.at - killedAt,
      promoteMs: promoted.at - assigned.at,
      writeMs: acknowledged.payload.at - promoted.at,
      totalMs: acknowledged.payload.at - killedAt,
      controllerToo: controller === primary,
    })
    await victim.exited
    await start(primary)
  }

  const of = (name, pick = () => true) => steps.filter(pick).map((step) => step[name])
  const total = summary('failover', of('totalMs'))
  const split = ['detectMs', 'promoteMs', 'writeMs'].map((name) => ms(median(name, of(name))))
  const both = of('totalMs', (step) => step.controllerToo)
  const alone = of('totalMs', (step) => !step.controllerToo)
  const part = (name, samples) =>
    samples.length === 0 ? `${name}: none` : `${name}: ${ms(median(name, samples))} (${samples.length})`
  return [
    {
      id: 'failover',
      what: 'kill -9 of the primary to the first acknowledged write',
      shown: `p50 ${ms(total.p50)}, max ${ms(total.max)}`,
      wanted: '≤ 2 s',
      met: total.max <= 2000,
      samples: total.samples,
      figures: { total, steps },
      notes: [
        `in the middle: noticed and assigned anew ${split[0]}, promoted ${split[1]}, first write ${split[2]}`,
        `${part('the primary was the controller as well', both)}; ${part('it was not', alone)}`,
      ],
    },
  ]
}

/** Waits until one node is the primary, another one its caught-up replica, and all are back. Says who is what. */
async function settled(workers) {
  const until = performance.now() + 30_000
  for (;;) {
    const states = await Promise.all(
      [...workers].map(async ([id, worker]) => ({ id, ...(await worker.ask('status')) })),
    )
    const copies = states.filter(({ copies }) => copies[token] !== undefined)
    const primaries = copies.filter(({ copies }) => copies[token].role === 'primary')
    const controller = states.find((state) => state.controller)?.id
    const warm =
      copies.length === 2 && copies.every(({ copies }) => copies[token].role === 'primary' || copies[token].caughtUp)
    if (workers.size === 3 && primaries.length === 1 && warm && controller !== undefined) {
      return { primary: primaries[0].id, controller }
    }
    if (performance.now() > until) throw new Error(`no rest within 30 s: ${JSON.stringify(states)}`)
    await sleep(50)
  }
}

function lastOf(worker, event) {
  return worker.events.findLast((told) => told.event === event)
}
