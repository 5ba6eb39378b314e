/**
 * State machines whose `apply`, `restore` or factory throws, on one copy or on all: such a copy stops, nobody else does, and what is committed comes
 * back once the machine is mended.
 */
import { expect, test } from 'vitest'
import type { Entry, Kagami } from '../../src/index.js'
import { eventually, forToken, Ledger, line, refusal, Service, TOKEN } from './support.js'

/** Throws at the entry `poison`. */
class Fragile extends Ledger {
  override apply(entry: Entry): number {
    if (Buffer.from(entry.value).toString() === 'poison') throw new Error('no antidote')
    return super.apply(entry)
  }
}

const fragile = forToken(() => new Fragile())

/** Reads nothing back. */
class Forgetful extends Ledger {
  override async restore(): Promise<void> {
    throw new Error('what was it')
  }
}

const unmade = forToken(() => {
  throw new Error('no parts')
})

/** The node's copy of the token was taken away because it failed, and its health says what to do. */
async function replaced(node: Kagami<number>, code: string): Promise<void> {
  await eventually(() => node.get(TOKEN)?.role === 'none', 'the copy is taken away')
  const { ok, problems } = node.health()
  expect(ok).toBe(false)
  expect(problems.join()).toMatch(
    new RegExp(`'${TOKEN}' has failed here with ${code}.*restart the node once that is mended`),
  )
}

test('apply that throws on a replica alone stops that copy, which is replaced elsewhere', async () => {
  const service = await Service.open(['a'])
  const b = await service.start('b', fragile)
  await service.own('a')
  await service.start('c')
  const failed: unknown[] = []
  b.on('failed', ({ token, error, position }) => failed.push([token, error.code, position]))
  const { incarnation } = b.get(TOKEN)!.next!
  await service.write('poison')
  await eventually(() => failed.length === 1, 'the copy fails')
  expect(failed).toEqual([[TOKEN, 'KAGAMI_APPLY_FAILED', { incarnation, index: 1 }]])
  await service.otherGoesOn()
  await service.goesOn()
  expect(service.node('c').get(TOKEN)?.role).toBe('replica')
  await replaced(b, 'KAGAMI_APPLY_FAILED')
})

test('apply that throws on the primary alone is told to the writer as committed, and a replica takes over', async () => {
  const service = await Service.open(['b', 'c'])
  const a = await service.start('a', fragile)
  await service.own('a', 'b')
  const orders = a.get(TOKEN)!
  const { incarnation, index } = orders.next!
  const [poisoned, behind] = await Promise.all([
    refusal(orders.replicate(line('poison'))),
    refusal(orders.replicate(line('behind it'))),
  ])
  expect(poisoned).toMatchObject({ code: 'KAGAMI_APPLY_FAILED', details: { token: TOKEN, incarnation, index } })
  expect(poisoned.message).toMatch(/no antidote. The entry is committed; mend apply and restart this node/)
  expect(behind).toMatchObject({ code: 'KAGAMI_INDETERMINATE', details: { token: TOKEN } })
  expect(behind.message).toMatch(/had failed before it. Read the state before you send it again/)
  service.remember('poison', index)
  service.remember('behind it', index + 1)
  expect(await service.primary()).not.toBe(a)
  await service.goesOn()
  await replaced(a, 'KAGAMI_APPLY_FAILED')
})

test('an entry that no copy can apply stops that token alone, and nothing is lost when apply is mended', async () => {
  const service = await Service.pair(fragile)
  await service.start('c', fragile)
  const orders = service.node('a').get(TOKEN)!
  const { index } = orders.next!
  expect(await refusal(orders.replicate(line('poison')))).toMatchObject({ code: 'KAGAMI_APPLY_FAILED' })
  service.remember('poison', index)
  for (const id of ['a', 'b', 'c']) {
    await eventually(() => service.node(id).health().problems.length > 0, `the copy on ${id} fails`)
  }
  const late = await refusal(orders.replicate(line('lost')))
  expect(late).toMatchObject({ code: 'KAGAMI_TOKEN_FAILED', details: { token: TOKEN, code: 'KAGAMI_APPLY_FAILED' } })
  expect(late.message).toMatch(/mend apply and restart this node/)
  expect(await refusal(orders.sync())).toMatchObject({ code: 'KAGAMI_TOKEN_FAILED' })
  expect(() => orders.state).toThrow(/has failed.*mend apply/)
  await service.otherGoesOn()

  await service.restart(['a', 'b'])
  await service.goesOn()
})

const often = { snapshotting: { everyEntries: 10 }, limits: { restoreTimeoutMs: 500 } }

/** A service whose log no longer holds its beginning: a new copy must be restored from a snapshot. */
async function truncated(): Promise<Service> {
  const service = await Service.pair(often)
  let cut = false
  service.node('b').on('snapshot', ({ token, phase }) => {
    if (token === TOKEN && phase === 'truncated') cut = true
  })
  while (!cut) await service.write()
  return service
}

test('restore that throws stops that copy alone, which is replaced elsewhere', async () => {
  const service = await truncated()
  const c = await service.start('c', { ...often, ...forToken(() => new Forgetful()) })
  await service.node('a').alter(TOKEN, { replicas: 2 })
  await eventually(() => c.get(TOKEN)?.role === 'failed', 'the copy fails')
  await service.write()
  await service.otherGoesOn()
  await service.start('d', often)
  await service.goesOn({ copies: 3 })
  await replaced(c, 'KAGAMI_')
  expect(service.logged.join('\n')).toMatch(/c: snapshot .* of 'orders' can't be restored.*what was it/)
})

test('restore that throws on every node serves nothing and deletes nothing; mended, it brings everything back', async () => {
  const service = await truncated()
  await service.restart(['a', 'b'], { ...often, ...forToken(() => new Forgetful()) })
  for (const id of ['a', 'b']) {
    await eventually(() => service.node(id).get(TOKEN)?.role === 'failed', `the copy on ${id} fails`)
  }
  expect(await refusal(service.node('a').get(TOKEN)!.replicate(line('lost')))).toMatchObject({
    code: 'KAGAMI_TOKEN_FAILED',
    details: { token: TOKEN },
  })
  await service.otherGoesOn()
  await service.restart(['a', 'b'], often)
  await service.goesOn()
})

test('a factory that throws stops the copies of that node alone, which are replaced elsewhere', async () => {
  const service = await Service.pair()
  const c = await service.start('c', unmade)
  await service.node('a').alter(TOKEN, { replicas: 2 })
  await eventually(() => c.get(TOKEN)?.role === 'failed', 'the copy fails')
  await service.write()
  await service.otherGoesOn()
  await service.start('d')
  await service.goesOn({ copies: 3 })
  await replaced(c, 'KAGAMI_')
})

test('a factory that throws where the token is claimed refuses the claim, and the next node to claim it is served', async () => {
  const service = await Service.open(['b', 'c'], { placementLimits: { graceMs: 100 } })
  const a = await service.start('a', unmade)
  const refused = await refusal(a.token(TOKEN, { primary: 'self' }))
  expect(refused).toMatchObject({ code: 'KAGAMI_TOKEN_FAILED', details: { token: TOKEN } })
  expect(refused.message).toMatch(/no parts/)
  await service.stop('a')
  await service.own('b')
  await service.goesOn()
})
