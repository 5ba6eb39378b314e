/**
 * kill -9 of nodes at chosen moments, fifty times, while clients write: nothing that was acknowledged is lost, nothing is applied twice, nothing that was
 * refused is applied, and all copies are equal.
 */
import { expect, test } from 'vitest'
import { Fleet, type DeathPlan, type Worker } from './fleet.js'

const tokens = ['t1', 't2', 't3', 't4']
const ids = ['a', 'b', 'c']
const OPS = ['append', 'promotion', 'snapshot write', 'publish', 'truncation', 'restore', 'controller write']
const PHASES = ['before', 'during', 'after'] as const
const KILLS = 50

/** Makes a node run into the plan, and gives the node that died. */
async function bringAbout(fleet: Fleet, plan: DeathPlan, round: number): Promise<Worker> {
  if (plan.op === 'restore') {
    // It dies on its way up, with a copy to restore.
    const victim = fleet.alive[round % fleet.alive.length] as Worker
    await victim.kill()
    return fleet.start(victim.id, plan)
  }
  const controller = await fleet.find((status) => status.controller)
  const victim = plan.op === 'controller write' ? controller : fleet.alive[round % fleet.alive.length]
  if (victim === undefined) throw new Error('there is no controller')
  await victim.ask('plan', { plan })
  if (plan.op === 'controller write')
    await victim.ask('alter', { token: tokens[0], replicas: 2 }).catch(() => undefined)
  if (plan.op === 'promotion') {
    const { copies } = await victim.ask<{ copies: Record<string, { role: string }> }>('status')
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
      const late = setTimeout(() => void victim.kill(), 15_000)
      await victim.exited
      clearTimeout(late)
      died.push(victim.dying ?? 'something else')
      console.log(
        `kill ${round + 1}: ${victim.id} during ${victim.dying ?? 'something else'}; ${fleet.acked.size} acknowledged`,
      )
      const survivor = fleet.alive[0] as Worker
      if (plan.op === 'controller write') await survivor.ask('alter', { token: tokens[0], replicas: 1 })
      await fleet.start(victim.id)
      await fleet.settled()
      await fleet.goesOn(before)
    }
    for (const op of OPS)
      expect(died.filter((what) => what.startsWith(op)).length, `kills during ${op}`).toBeGreaterThan(0)
    expect(died).toHaveLength(KILLS)
    const verdict = await fleet.verdict()
    console.log(JSON.stringify({ ...verdict, lost: verdict.lost.length, rejected: fleet.rejected.size }))
    expect(verdict.acknowledged).toBeGreaterThan(1000)
    expect(verdict).toMatchObject({ lost: [], twice: 0, rejectedButApplied: [], diverged: [] })
  },
)
