/** SIGSTOP of a primary, for half and for three times its lease, and SIGCONT under load: a zombie that wakes up changes nothing. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Fleet, type Place, type Status, type Worker } from './fleet.js'

const tokens = ['t1', 't2', 't3', 't4']
const ids = ['a', 'b', 'c']

/** A node is about to be stopped: what it serves, as which member, and where everything is. */
interface Stop {
  readonly victim: Worker
  readonly member: string | undefined
  readonly served: readonly string[]
  readonly before: ReadonlyMap<string, Place>
}

/** Each node is the victim once. It serves a token then, which is handed over to it where it does not. */
async function stopEach(fleet: Fleet, check: (stop: Stop) => Promise<void>): Promise<void> {
  await fleet.open(ids)
  for (const id of ids) {
    await fleet.atRest()
    const victim = fleet.worker(id)
    const servedBy = (places: ReadonlyMap<string, Place>): string[] =>
      tokens.filter((token) => places.get(token)?.primary === id)
    if (servedBy(await fleet.places()).length === 0) {
      await victim.ask('handover', { token: tokens[0], to: id })
      await fleet.atRest()
    }
    const { member } = await victim.ask<Status>('status')
    const before = await fleet.places()
    const served = servedBy(before)
    expect(served, `tokens that ${id} serves`).not.toEqual([])
    await check({ victim, member, served, before })
  }
}

/**
 * Wakes a node that is stopped, and has it write to the tokens before it learns of anything: what it is asked lies in its pipe
 * already. Gives how each write ended.
 */
async function wake(victim: Worker, served: readonly string[]): Promise<Record<string, string>> {
  const attempts = victim.ask<Record<string, string>>('attempt', { tokens: served })
  victim.child.kill('SIGCONT')
  return attempts
}

const acknowledged = (served: readonly string[]): Record<string, string> =>
  Object.fromEntries(served.map((token) => [token, 'acknowledged']))

async function expectNothingLost(fleet: Fleet): Promise<void> {
  const verdict = await fleet.verdict()
  console.log(
    JSON.stringify({
      ...verdict,
      lost: verdict.lost.length,
      outOfTerm: verdict.outOfTerm.length,
      rejected: fleet.rejected.size,
    }),
  )
  expect(verdict.acknowledged).toBeGreaterThan(500)
  expect(verdict).toMatchObject({ lost: [], twice: 0, rejectedButApplied: [], outOfTerm: [], diverged: [] })
}

test('a primary that is stopped for half its lease goes on in the same epoch, and nobody has taken over', async () => {
  await using fleet = new Fleet(tokens, 3000)
  await stopEach(fleet, async ({ victim, member, served, before }) => {
    const byOthers = (): number[] => served.map((token) => fleet.ackedBy(token, victim, true))
    const othersBefore = byOthers()
    victim.child.kill('SIGSTOP')
    await sleep(fleet.sessionTimeoutMs / 2)
    expect(await wake(victim, served), 'the first writes').toEqual(acknowledged(served))
    const acked = fleet.acked.size
    await fleet.settled()
    await fleet.goesOn(acked)
    expect(await fleet.places(), 'primaries and epochs').toEqual(before)
    expect(byOthers(), 'written by others').toEqual(othersBefore)
    expect(await victim.ask('status')).toMatchObject({ member })
  })
  await expectNothingLost(fleet)
}, 120_000)

test('a primary that is stopped for three times its lease is replaced, and acknowledges nothing when it wakes up', async () => {
  await using fleet = new Fleet(tokens, 1000)
  await stopEach(fleet, async ({ victim, member, served, before }) => {
    const othersBefore = served.map((token) => fleet.ackedBy(token, victim, true))
    victim.child.kill('SIGSTOP')
    await sleep(fleet.sessionTimeoutMs * 3)
    const takenOver = (token: string, i: number): boolean =>
      fleet.ackedBy(token, victim, true) > (othersBefore[i] as number)
    await fleet.eventually(() => served.every(takenOver), `others write ${served.join()}, which ${victim.id} served`)
    const during = await fleet.places(fleet.alive.filter((worker) => worker !== victim))
    for (const token of served) {
      expect(during.get(token)?.epoch, `the epoch of ${token}`).toBeGreaterThan(before.get(token)?.epoch as number)
    }
    const outcomes = await wake(victim, served)
    expect(Object.keys(outcomes), 'the first writes').toEqual(served)
    // Not known where the log has been truncated above what the node had read.
    for (const how of Object.values(outcomes)) expect(how).toMatch(/^KAGAMI_(NOT_PRIMARY|INDETERMINATE)$/)
    const acked = fleet.acked.size
    await fleet.goesOn(acked)
    // The victim is given its share again, so primaries may be on their way until then.
    await fleet.atRest()
    const after = await fleet.places()
    for (const token of served) {
      const epoch = during.get(token)?.epoch as number
      expect(after.get(token)?.epoch, `the epoch of ${token}`).toBeGreaterThanOrEqual(epoch)
    }
    expect((await victim.ask<Status>('status')).member, 'the member that has expired').not.toBe(member)
  })
  await expectNothingLost(fleet)
}, 120_000)
