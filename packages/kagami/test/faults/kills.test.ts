/**
 * kill -9 of nodes at chosen moments, fifty times, while clients write: nothing that was acknowledged is lost, nothing is applied twice, nothing that was
 * refused is applied, and all copies are equal.
 */
import { expect, test } from 'vitest'
import { Fleet, type DeathPlan, type Status, type Worker } from './fleet.js'

const tokens = ['t1', 't2', 't3', 't4']
const ids = ['a', 'b', 'c']
const OPS = ['append', 'promotion', 'snapshot write', 'publish', 'truncation', 'restore', 'controller write']
const PHASES = ['before', 'during', 'after'] as const
const KILLS = 50
/** What a death is called that did not come about as planned, so that the node was simply killed. */
const PLAIN = 'something else'
/** So many may be plain kills: a node may lose the role that its plan needs before it has run into it. */
const MOST_PLAIN = KILLS / 10
/** A planned death comes about within this, or the node is simply killed. */
const PATIENCE_MS = 15_000

/** A node that can run into the plan, another one every time: only primaries append, only replicas are promoted or take snapshots. */
async function choose(fleet: Fleet, { op }: DeathPlan, round: number): Promise<Worker> {
  const suits = ({ controller, copies }: Status): boolean => {
    if (op === 'controller write') return controller
    return Object.values(copies).some(({ role }) => role === (op === 'append' ? 'primary' : 'replica'))
  }
  let suited: Worker[] = []
  await fleet.eventually(async () => {
    const workers = fleet.alive
    const states = await Promise.all(workers.map((worker) => worker.ask<Status>('status')))
    suited = workers.filter((_, i) => suits(states[i] as Status))
    return suited.length > 0
  }, `a node can die during ${op}`)
  return suited[round % suited.length] as Worker
}

/** Makes a node run into the plan, and gives the node that died. */
async function bringAbout(fleet: Fleet, plan: DeathPlan, round: number): Promise<Worker> {
  if (plan.op === 'restore') {
    // It dies on its way up, with a copy to restore.
    const victim = fleet.alive[round % fleet.alive.length] as Worker
    await victim.kill()
    return fleet.start(victim.id, plan)
  }
  const victim = await choose(fleet, plan, round)
  // Read before: from then on it may run into the plan by itself, and answer no more.
  const { copies } = await victim.ask<Status>('status')
  await victim.ask('plan', { plan }).catch((error: unknown) => {
    if (victim.alive) throw error
  })
  if (plan.op === 'controller write')
    await victim.ask('alter', { token: tokens[0], replicas: 2 }).catch(() => undefined)
  if (plan.op === 'promotion') {
    const token = tokens.find((name) => copies[name]?.role === 'replica')
    const asked = fleet.alive.find((worker) => worker !== victim) as Worker
    // Nobody waits for it: the node that it goes to dies.
    void asked.ask('handover', { token: token ?? tokens[0], to: victim.id }).catch(() => undefined)
  }
  return victim
}

test(
  `${KILLS} kills at every kind of moment lose nothing, double nothing and diverge nothing`,
  { timeout: 600_000 },
  async () => {
    await using fleet = new Fleet(tokens)
    await fleet.open(ids)
    await fleet.settled()
    const died: string[] = []
    for (let round = 0; round < KILLS; round++) {
      const plan = {
        op: OPS[round % OPS.length] as string,
        phase: PHASES[Math.floor(round / OPS.length) % 3] as DeathPlan['phase'],
      }
      const before = fleet.acked.size
      const victim = await bringAbout(fleet, plan, round)
      const late = setTimeout(() => void victim.kill(), PATIENCE_MS)
      await victim.exited
      clearTimeout(late)
      died.push(victim.dying ?? PLAIN)
      console.log(`kill ${round + 1}: ${victim.id} during ${died.at(-1)}; ${fleet.acked.size} acknowledged`)
      const survivor = fleet.alive[0] as Worker
      if (plan.op === 'controller write') await survivor.ask('alter', { token: tokens[0], replicas: 1 })
      await fleet.start(victim.id)
      await fleet.settled()
      await fleet.goesOn(before)
    }
    const plain = died.filter((what) => what === PLAIN).length
    console.log(`${plain} of ${KILLS} planned deaths did not come about, and were plain kills`)
    expect(plain, 'plain kills').toBeLessThanOrEqual(MOST_PLAIN)
    for (const op of OPS)
      expect(died.filter((what) => what.startsWith(op)).length, `kills during ${op}`).toBeGreaterThan(0)
    expect(died).toHaveLength(KILLS)
    const verdict = await fleet.verdict()
    console.log(
      JSON.stringify({
        ...verdict,
        lost: verdict.lost.length,
        outOfTerm: verdict.outOfTerm.length,
        rejected: fleet.rejected.size,
      }),
    )
    expect(verdict.acknowledged).toBeGreaterThan(1000)
    expect(verdict).toMatchObject({ lost: [], twice: 0, rejectedButApplied: [], outOfTerm: [], diverged: [] })
  },
)
