/** Offices whose document is damaged on the disk: nobody can tell who holds them, and still nobody is given what another may have. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isKagamiError } from '@kagami/core/contract'
import type { Leadership, Session } from '@kagami/core/contract'
import { describe, expect, it } from 'vitest'
import { now, startProcess } from './processes.js'
import { options, startNode, testFolder } from './support.js'

const settings = { sessionTimeoutMs: 600 }

/** Damages a byte of the newest version of an office. */
async function damage(dir: string, office: string): Promise<void> {
  const offices = join(dir, (await readdir(dir))[0]!, 'offices')
  const files = await readdir(offices, { recursive: true })
  const versionOf = (file: string): number => Number(/@(\d+)$/.exec(file)![1])
  const versions = files.filter((file) => file.includes(`/${office}@`)).sort((a, b) => versionOf(a) - versionOf(b))
  const path = join(offices, versions.at(-1)!)
  const bytes = await readFile(path)
  bytes[bytes.length - 2]! ^= 1
  await writeFile(path, bytes)
}

/** Campaigns as core does: again and again, whatever it is refused with. What it was refused with is added to `refusals`. */
async function campaign(session: Session, refusals: unknown[]): Promise<Leadership> {
  for (;;) {
    try {
      return await session.campaign(options)
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) throw error
      refusals.push(error)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

describe('the leadership whose document is damaged', () => {
  it('is given up by a leader that lives before another is elected, above all that were before', async () => {
    const dir = await testFolder()
    const [a, b] = [await startNode(dir, 'a', settings), await startNode(dir, 'b', settings)]
    const sessions = [await a.coordinator.connect(options), await b.coordinator.connect(options)]
    let leadership = await sessions[0]!.campaign(options)
    for (let round = 0; round < 3; round++) {
      const candidate = sessions[(round + 1) % 2]!
      const order: string[] = []
      leadership.signal.addEventListener('abort', () => order.push('given up'))
      const next = campaign(candidate, []).then((elected) => {
        order.push('elected')
        return elected
      })
      await damage(dir, 'leader')
      const { epoch, signal } = leadership
      leadership = await next
      expect(signal.reason).toMatchObject({ code: 'KAGAMI_COORDINATOR_UNAVAILABLE', retryable: true })
      expect(order).toEqual(['given up', 'elected'])
      expect(leadership.epoch).toBeGreaterThan(epoch)
    }
  })

  it('of a leader that has died is refused until nobody can hold it any more, and then given above all that were before', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    let last = 0
    for (let round = 0; round < 2; round++) {
      const victim = await startProcess(dir, 'victim', settings)
      await victim.call('connect')
      const epoch = (await victim.call('campaign')) as number
      await victim.kill()
      await damage(dir, 'leader')
      const damagedAt = now()
      const refusals: unknown[] = []
      const leadership = await campaign(session, refusals)
      expect(now() - damagedAt).toBeGreaterThan(settings.sessionTimeoutMs + 500)
      expect(refusals[0]).toMatchObject({
        retryable: true,
        message: expect.stringMatching(/leader@\d+ is damaged, .*written anew/),
      })
      expect(epoch).toBeGreaterThan(last)
      expect(leadership.epoch).toBeGreaterThan(epoch)
      last = leadership.epoch
      await leadership.resign()
    }
  })

  it('of a leader that is frozen is never its own again', async () => {
    const dir = await testFolder()
    const { coordinator } = await startNode(dir, 'a', settings)
    const session = await coordinator.connect(options)
    const victim = await startProcess(dir, 'victim', settings)
    await victim.call('connect')
    const epoch = (await victim.call('campaign')) as number
    victim.freeze()
    await damage(dir, 'leader')
    const leadership = await campaign(session, [])
    expect(leadership.epoch).toBeGreaterThan(epoch)
    victim.thaw()
    await victim.report(({ event }) => event === 'deposed')
    expect(leadership.signal.aborted).toBe(false)
  })
})

describe('the node ids whose document is damaged', () => {
  it('stay with the members that are alive, and are given to others', async () => {
    const dir = await testFolder()
    // Longer, so that nobody's session ends while the others wait.
    const settings = { sessionTimeoutMs: 2_000 }
    const first = await startProcess(dir, 'a', settings)
    await first.call('connect')
    await first.call('join', 'a-1')
    await damage(dir, 'nodes')
    const [twin, other] = [await startProcess(dir, 'a', settings), await startProcess(dir, 'b', settings)]
    for (const node of [twin, other]) await node.call('connect')
    const joins = [twin.call('join', 'a-2'), other.call('join', 'b-1')]
    await expect(joins[0]).rejects.toMatchObject({ code: 'KAGAMI_NODE_ID_TAKEN' })
    await joins[1]
    expect(other.of('told')).toMatchObject([{ code: 'KAGAMI_BAD_DOCUMENT', reason: expect.stringContaining('nodes@') }])
    const late = await startProcess(dir, 'b', settings)
    await late.call('connect')
    await expect(late.call('join', 'b-2')).rejects.toMatchObject({ code: 'KAGAMI_NODE_ID_TAKEN' })
    await first.kill()
    await other.call('watchMembers')
    await other.report(({ event, nodes }) => event === 'members' && nodes === 'b')
    await twin.call('join', 'a-2')
    await other.report(({ event, nodes }) => event === 'members' && nodes === 'a,b')
  })
})
