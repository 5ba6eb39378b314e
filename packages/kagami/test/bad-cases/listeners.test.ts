/** Listeners that throw: what the application does wrong when it is told something is logged, and changes nothing of what it was told. */
import { expect, test } from 'vitest'
import type { Kagami, KagamiEvents } from '../../src/index.js'
import { eventually, Service, TOKEN } from './support.js'

const EVENTS = [
  'joined',
  'controller',
  'copy',
  'promoting',
  'promoted',
  'demoted',
  'restoring',
  'restored',
  'in-sync',
  'snapshot',
  'deleted',
  'assigned',
] as const satisfies readonly (keyof KagamiEvents)[]

function throwAtEverything(node: Kagami<number>): void {
  for (const event of EVENTS) {
    node.on(event, () => {
      throw new Error(`no ear for ${event}`)
    })
  }
}

test('listeners that throw at every event of a token’s life are logged, and change nothing', async () => {
  const service = await Service.open([])
  for (const id of ['a', 'b', 'c']) {
    const node = service.make(id, { snapshotting: { everyEntries: 10 }, placementLimits: { graceMs: 100 } })
    throwAtEverything(node)
    service.nodes.set(id, node)
    await node.start()
  }
  await service.own('a')
  const [a, b] = [service.node('a'), service.node('b')]
  const heard = new Set<string>()
  for (const node of [a, b, service.node('c')]) node.on('snapshot', ({ phase }) => heard.add(phase))
  while (!heard.has('truncated')) await service.write()
  await a.alter(TOKEN, { replicas: 2 })
  await service.holds(TOKEN, 3)
  await a.handover(TOKEN, { to: 'b' })
  expect((await service.primary()) === b).toBe(true)
  await a.token('drafts', { primary: 'self' })
  await a.remove('drafts')
  await service.goesOn({ copies: 3 })
  await service.stop('c')
  for (const event of EVENTS) {
    expect(service.logged.join('\n')).toContain(`a listener of '${event}' failed Error: no ear for ${event}`)
  }
})

test('onPromote and onDemote that throw, or reject, are logged, and change nothing', async () => {
  const service = await Service.open(['a', 'b'])
  await service.own('b')
  const calls: string[] = []
  const hooks = (id: string, fail: (what: string) => void | Promise<void>) => ({
    onPromote: () => {
      calls.push(`promote ${id}`)
      return fail('promote')
    },
    onDemote: () => {
      calls.push(`demote ${id}`)
      return fail('demote')
    },
  })
  const rejects = async (what: string) => Promise.reject(new Error(`will not ${what}`))
  const throws = (what: string) => {
    throw new Error(`can not ${what}`)
  }
  const [a, b] = [service.node('a'), service.node('b')]
  await b.token('hooked', { ...hooks('b', rejects) })
  const hooked = await a.token('hooked', { ...hooks('a', throws) })
  await hooked.sync()
  for (const to of ['b', 'a', 'b']) {
    await a.handover('hooked', { to })
    const { result } = await service
      .node(to)
      .get('hooked')!
      .replicate(Buffer.from(`by ${to}`))
    expect(result).toBeGreaterThan(0)
  }
  await eventually(() => calls.filter((call) => call === 'promote b').length >= 2, 'b is promoted twice')
  expect(calls).toContain('promote a')
  expect(calls).toContain('demote a')
  expect(calls).toContain('demote b')
  for (const said of ['can not promote', 'can not demote', 'will not promote', 'will not demote']) {
    expect(service.logged.join('\n')).toMatch(new RegExp(`on(Promote|Demote) of 'hooked' failed Error: ${said}`))
  }
  for (const node of [a, b]) {
    await node.get('hooked')!.sync()
    expect(node.get('hooked')!.state).toMatchObject({ lines: ['by b', 'by a', 'by b'] })
  }
  await service.goesOn()
})
