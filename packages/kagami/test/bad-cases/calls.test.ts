/** What a node answers to calls that it can't follow: at once, for certain, with what to do instead; and the service goes on. */
import { expect, test } from 'vitest'
import { run } from './children.js'
import { eventually, line, refusal, Service, TOKEN } from './support.js'

test('replicate on a replica is refused, and names the primary', async () => {
  const service = await Service.pair()
  const refused = await refusal(service.node('b').get(TOKEN)!.replicate(line('lost')))
  expect(refused).toMatchObject({
    code: 'KAGAMI_NOT_PRIMARY',
    retryable: true,
    details: { token: TOKEN, primary: { id: 'a', meta: null } },
  })
  expect(refused.message).toMatch(/was not applied.*the primary is on node 'a'; send it there/)
  await service.goesOn()
})

test('every call on a stopped node is refused, and its replica serves instead', async () => {
  const service = await Service.open(['a', 'b', 'c'], { placementLimits: { graceMs: 100 } })
  await service.own('a', 'b')
  const stopped = service.node('a')
  const orders = stopped.get(TOKEN)!
  await service.stop('a')
  const calls = [
    orders.replicate(line('lost')),
    orders.sync(),
    orders.waitFor({ incarnation: 1, index: 99 }),
    stopped.token(TOKEN, { primary: 'self' }),
    stopped.alter(TOKEN, { replicas: 2 }),
    stopped.handover(TOKEN, { to: 'b' }),
    stopped.remove(TOKEN),
    stopped.drain(),
  ]
  for (const refused of await Promise.all(calls.map(refusal))) {
    expect(refused.code).toBe('KAGAMI_STOPPED')
    expect(refused.message).toMatch(/node 'a' is stopped, or stopping; use another node, or make a new one/)
  }
  const again = await refusal(stopped.start())
  expect(again.code).toBe('KAGAMI_STOPPED')
  expect(again.message).toMatch(/was started or stopped before; make another with createKagami/)
  expect(stopped.health()).toMatchObject({ ok: false, status: 'stopped' })
  await service.goesOn()
})

test('every call before start is refused, and works afterwards', async () => {
  const service = await Service.pair()
  const early = service.make('c')
  service.nodes.set('c', early)
  const calls = () => [
    early.token(TOKEN, { primary: 'self' }),
    early.alter(TOKEN, { replicas: 1 }),
    early.handover(TOKEN, { to: 'a' }),
    early.remove(TOKEN),
    early.drain(),
  ]
  for (const refused of await Promise.all(calls().map(refusal))) {
    expect(refused.code).toBe('KAGAMI_NOT_STARTED')
    expect(refused.message).toMatch(/node 'c' is not started; await start\(\) first/)
  }
  const starting = early.start()
  for (const { code } of await Promise.all(calls().map(refusal))) expect(code).toBe('KAGAMI_NOT_STARTED')
  await starting
  expect(early.get(TOKEN)).toBeDefined()
  await early.alter(TOKEN, { replicas: 2 })
  await service.goesOn({ copies: 3 })
})

test('an entry above the limit is refused with the limit, and one at the limit is taken', async () => {
  const service = await Service.pair()
  const orders = service.node('a').get(TOKEN)!
  const refused = await refusal(orders.replicate(new Uint8Array(1_000_001)))
  expect(refused).toMatchObject({
    code: 'KAGAMI_ENTRY_TOO_LARGE',
    retryable: false,
    details: { token: TOKEN, bytes: 1_000_001, limit: 1_000_000 },
  })
  expect(refused.message).toMatch(/Split it, or raise limits.maxEntryBytes/)
  await service.write('x'.repeat(1_000_000))
  await service.goesOn()
})

test('a limit that the log can not keep is refused at start, and the rest goes on', async () => {
  const service = await Service.pair()
  const greedy = service.make('c', { limits: { maxEntryBytes: 2 ** 30 } })
  const refused = await refusal(greedy.start())
  expect(refused).toMatchObject({ code: 'KAGAMI_BAD_OPTION', details: { option: 'limits.maxEntryBytes' } })
  expect(refused.message).toMatch(/is 1073741824; expected at most \d+, which is what the log 'embedded' takes/)
  await service.goesOn()
})

test('a token that does not exist is unknown to every call, and none of them creates it', async () => {
  const service = await Service.pair()
  const a = service.node('a')
  expect(a.get('nothing')).toBeUndefined()
  expect(a.locate('nothing')).toBeUndefined()
  const calls = [a.alter('nothing', { replicas: 2 }), a.handover('nothing', { to: 'b' }), a.remove('nothing')]
  for (const refused of await Promise.all(calls.map(refusal))) {
    expect(refused).toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN', details: { token: 'nothing' } })
    expect(refused.message).toMatch(/there is no token 'nothing'; create it with token\(\)/)
  }
  const stray = await refusal(a.handover(TOKEN, { to: 'nobody' }))
  expect(stray).toMatchObject({ code: 'KAGAMI_BAD_OPTION', details: { option: 'to' } })
  expect(stray.message).toMatch(/"nobody"; expected the id of a live node that is not being drained: a, b/)
  expect(a.tokens()).not.toContain('nothing')
  await service.goesOn()
})

test('a token that was removed is unknown to those who still hold a handle', async () => {
  const service = await Service.pair()
  const a = service.node('a')
  const drafts = await a.token('drafts', { primary: 'self' })
  await drafts.replicate(line('draft'))
  await service.node('b').remove('drafts')
  await eventually(() => a.locate('drafts') === undefined, 'a hears of it')
  for (const refused of await Promise.all([drafts.replicate(line('late')), drafts.sync()].map(refusal))) {
    expect(refused).toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN', details: { token: 'drafts' } })
    expect(refused.message).toMatch(/create it with token\(\)/)
  }
  await service.goesOn()
})

test('a second token() with other options is refused, and names the option and its value', async () => {
  const service = await Service.pair()
  for (const [wanted, option, value, remedy] of [
    [{ primary: 'self', replicas: 2 }, 'replicas', 1, 'or alter\\(\\) it'],
    [{ primary: 'self', weight: 3 }, 'weight', 1, 'or alter\\(\\) it'],
    [{ primary: 'self', failover: 'hold' }, 'failover', 'promote', 'or alter\\(\\) it'],
    [{ primary: 'self', failback: true }, 'failback', false, 'or alter\\(\\) it'],
    [{ primary: 'balanced' }, 'primary', 'self', 'which can not be altered'],
  ] as const) {
    for (const id of ['a', 'b']) {
      const refused = await refusal(service.node(id).token(TOKEN, wanted))
      expect(refused).toMatchObject({ code: 'KAGAMI_TOKEN_OPTIONS', details: { token: TOKEN, option, value } })
      expect(refused.message).toMatch(
        new RegExp(`exists with ${option} ${JSON.stringify(value)}, not .*; use the same, ${remedy}`),
      )
    }
  }
  await expect(service.node('a').token(TOKEN, { primary: 'self' })).resolves.toBe(service.node('a').get(TOKEN))
  await service.goesOn()
})

test('a second claim of a token is refused while its owner lives, and names the owner', async () => {
  const service = await Service.pair()
  const { epoch } = service.node('a').get(TOKEN)!
  const refused = await refusal(service.node('b').token(TOKEN, { primary: 'self' }))
  expect(refused).toMatchObject({ code: 'KAGAMI_TOKEN_OWNED', details: { token: TOKEN, owner: 'a' } })
  expect(refused.message).toMatch(/owned by the live node 'a'; only its owner may claim it/)
  expect(service.node('a').get(TOKEN)).toMatchObject({ role: 'primary', epoch })
  await service.goesOn()
})

test('a second process of one node id is refused while the first lives, and is let in when that has stopped', async () => {
  const service = await Service.open(['a', 'b'])
  await service.own('a', 'b')
  const second = (): Promise<unknown> => run('start.mjs', service.dir, 'a')
  const { member } = service.node('a').health()
  const { epoch } = service.node('a').get(TOKEN)!
  expect(await second()).toMatchObject({
    started: {
      code: 'KAGAMI_NODE_ID_TAKEN',
      details: { node: 'a' },
      message: expect.stringMatching(/another process runs as node a: stop it, or give this one another id/),
    },
  })
  expect(service.node('a').health()).toMatchObject({ ok: true, member })
  expect(service.node('a').get(TOKEN)).toMatchObject({ role: 'primary', epoch })
  await service.write()
  await service.stop('a')
  expect(await second()).toEqual({ started: 'done' })
  await service.start('a')
  await service.goesOn()
})
