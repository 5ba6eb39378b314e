/** What core does with a coordinator that does not answer, though its session lives. */
import { expect, test } from 'vitest'
import {
  KagamiError,
  type CallOptions,
  type Coordinator,
  type Leadership,
  type Session,
} from '../../src/contract/index.js'
import { ImpatientCoordinator } from '../../src/runtime/impatient-coordinator.js'
import { bytes, delegate, eventually, TestCluster } from './harness.js'
import { ManualClock, rest } from './manual-clock.js'

const { signal } = new AbortController()
const LIMIT_MS = 20_000
const never: Promise<never> = new Promise(() => undefined)
const ignore = (): void => undefined

function patience(clock: ManualClock, warnings: string[] = []): ConstructorParameters<typeof ImpatientCoordinator>[1] {
  const logger = { debug: ignore, info: ignore, warn: (text: string) => void warnings.push(text), error: ignore }
  return { clock, limitMs: LIMIT_MS, logger }
}

const session = (parts: Partial<Session>): Session =>
  ({ id: 's', timeoutMs: 1000, signal, close: () => Promise.resolve(), ...parts }) as Session

const record = { node: 'a', member: 'a.1', data: new Uint8Array(0) }

test.each<[string, Partial<Session>, (session: Session, options: CallOptions) => Promise<unknown>]>([
  ['reading specs/00', { read: () => never }, (to, options) => to.read('specs/00', options)],
  ['writing specs/00', { write: () => never }, (to, options) => to.write('specs/00', bytes(''), 1, options)],
  ['joining', { join: () => never }, (to, options) => to.join(record, options)],
  ['changing its record', { update: () => never }, (to, options) => to.update(record, options)],
])('a call without an answer is told, and rejects as one of which nobody knows: %s', async (what, parts, call) => {
  const clock = new ManualClock()
  const coordinator = new ImpatientCoordinator({ connect: () => Promise.resolve(session(parts)) }, patience(clock))
  const connected = await coordinator.connect({ signal })
  const outcome = call(connected, { signal }).catch((error: unknown) => error)
  await clock.advance(LIMIT_MS / 2 - 1)
  expect(coordinator.unanswered).toBeUndefined()
  await clock.advance(1)
  expect(coordinator.unanswered).toBe(`the coordinator has not answered for 10000 ms: ${what}`)
  await clock.advance(LIMIT_MS / 2)
  expect(await outcome).toMatchObject({
    code: 'KAGAMI_COORDINATOR_UNAVAILABLE',
    retryable: true,
    message: expect.stringContaining(what) as string,
  })
  await clock.advance(5000)
  expect(coordinator.unanswered).toBeUndefined()
})

test.each([
  ['has no answer', () => never],
  [
    'is refused, since nobody is reached',
    async (clock: ManualClock) => {
      await new Promise<void>((resolve) => clock.timer(2000, resolve))
      throw new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'nobody is reached', { retryable: true })
    },
  ],
])(
  'a call that is made again and again and %s is told all the while, and no longer once it is answered',
  async (_, refuse) => {
    const clock = new ManualClock()
    let answers = false
    const parts = { read: () => (answers ? Promise.resolve(undefined) : refuse(clock)) }
    const coordinator = new ImpatientCoordinator(
      { connect: () => Promise.resolve(session(parts)) },
      { ...patience(clock), limitMs: 2000 },
    )
    const connected = await coordinator.connect({ signal })
    const ask = (): Promise<unknown> => connected.read('specs/00', { signal }).catch((error: unknown) => error)
    for (let attempt = 0; attempt < 10; attempt++) {
      const asked = ask()
      await clock.advance(2000)
      expect(await asked).toMatchObject({ code: 'KAGAMI_COORDINATOR_UNAVAILABLE' })
      await clock.advance(500)
      const waitedMs = 2500 * (attempt + 1)
      const told = `the coordinator has not answered for ${waitedMs} ms: reading specs/00`
      expect(coordinator.unanswered).toBe(waitedMs < 10_000 ? undefined : told)
    }
    // Whoever has no use for it any more does not ask again.
    await clock.advance(5000)
    expect(coordinator.unanswered).toBeUndefined()
    void ask()
    await clock.advance(500)
    expect(coordinator.unanswered).toBeUndefined()
    answers = true
    await ask()
    expect(coordinator.unanswered).toBeUndefined()
  },
)

test('what waits for its turn is not given up, however many were asked before it; what was passed over is', async () => {
  const clock = new ManualClock()
  const EACH_MS = LIMIT_MS / 2
  const lost = 'specs/03'
  // Reads one document after another, but never that one.
  let tail: Promise<unknown> = Promise.resolve()
  const read = (name: string): Promise<undefined> => {
    if (name === lost) return never
    const turn = tail.then(() => new Promise<undefined>((resolve) => clock.timer(EACH_MS, () => resolve(undefined))))
    tail = turn
    return turn
  }
  const coordinator = new ImpatientCoordinator({ connect: () => Promise.resolve(session({ read })) }, patience(clock))
  const connected = await coordinator.connect({ signal })
  const ends: string[] = []
  const all = Array.from({ length: 10 }, (_, i) => `specs/0${i}`).map((name) =>
    connected.read(name, { signal }).then(
      () => ends.push(name),
      (error: unknown) => ends.push(`${name} ${(error as KagamiError).code}`),
    ),
  )
  await clock.advance(10 * EACH_MS)
  await Promise.all(all)
  expect(ends.filter((end) => end.length === lost.length)).toHaveLength(9)
  // Two after the last that was asked before it.
  expect(ends.indexOf(`${lost} KAGAMI_COORDINATOR_UNAVAILABLE`)).toBe(5)
})

test('a slow coordinator is given as long as its session may be out of contact, though less is asked for', async () => {
  const clock = new ManualClock()
  let closings = 0
  const resign = (): Promise<void> => new Promise((resolve) => clock.timer(5000, resolve))
  const slow = session({
    timeoutMs: 6000,
    read: () => new Promise((resolve) => clock.timer(5000, () => resolve(undefined))),
    campaign: () => Promise.resolve({ epoch: 1, signal, resign }),
    close: () => Promise.resolve(void (closings += 1)),
  })
  const connect = (): Promise<Session> => new Promise((resolve) => clock.timer(5000, () => resolve(slow)))
  const coordinator = new ImpatientCoordinator({ connect }, { ...patience(clock), limitMs: 100 })
  const connecting = coordinator.connect({ signal })
  await clock.advance(5000)
  const connected = await connecting
  const reading = connected.read('specs/00', { signal })
  await clock.advance(5000)
  expect(await reading).toBeUndefined()
  const resigned = (await connected.campaign({ signal })).resign()
  await clock.advance(5000)
  await resigned
  expect(closings).toBe(0)
})

test('whoever gives up waits no longer for a call that heeds no signal, and whoever has given up asks nothing', async () => {
  let reads = 0
  const read = (): Promise<never> => {
    reads += 1
    return never
  }
  const coordinator = new ImpatientCoordinator(
    { connect: () => Promise.resolve(session({ read })) },
    patience(new ManualClock()),
  )
  const end = new AbortController()
  const connected = await coordinator.connect({ signal })
  const call = connected.read('specs/00', { signal: end.signal })
  const reason = new Error('given up')
  end.abort(reason)
  await expect(call).rejects.toBe(reason)
  await expect(connected.read('specs/00', { signal: end.signal })).rejects.toBe(reason)
  expect(reads).toBe(1)
  expect(coordinator.unanswered).toBeUndefined()
})

test('a session that is opened too late is closed', async () => {
  const clock = new ManualClock()
  let open: (session: Session) => void = ignore
  const coordinator = new ImpatientCoordinator(
    { connect: () => new Promise((resolve) => (open = resolve)) },
    patience(clock),
  )
  const outcome = coordinator.connect({ signal }).catch((error: unknown) => error)
  await clock.advance(LIMIT_MS)
  expect(await outcome).toMatchObject({ code: 'KAGAMI_COORDINATOR_UNAVAILABLE', retryable: true })
  let closed = 0
  open(session({ close: () => Promise.resolve(void (closed += 1)) }))
  await rest()
  expect(closed).toBe(1)
})

test('a session, and an election, that do not come to be given up are waited for no longer, and told of', async () => {
  const clock = new ManualClock()
  const warnings: string[] = []
  const won: Leadership = { epoch: 1, signal, resign: () => never }
  let closings = 0
  const close = (): Promise<never> => {
    closings += 1
    return never
  }
  const parts = { close, campaign: () => Promise.resolve(won) }
  const coordinator = new ImpatientCoordinator(
    { connect: () => Promise.resolve(session(parts)) },
    patience(clock, warnings),
  )
  const connected = await coordinator.connect({ signal })
  const resigned = (await connected.campaign({ signal })).resign()
  await clock.advance(10_000)
  expect(coordinator.unanswered).toBe('the coordinator has not answered for 10000 ms: giving up the election')
  await clock.advance(LIMIT_MS - 10_000)
  // Else the member would keep the election, and nobody could win another.
  expect(closings).toBe(1)
  await clock.advance(LIMIT_MS)
  await resigned
  expect(warnings.join()).toMatch(/giving up the election has not moved on.*closing the session has not moved on/)
})

/** A coordinator that answers no write of assignments of which it loses something. */
function losing(coordinator: Coordinator, loses: () => 'answer' | 'all' | 'nothing'): Coordinator {
  return delegate<Coordinator>(coordinator, {
    connect: async (options: CallOptions) => {
      const session = await coordinator.connect(options)
      return delegate<Session>(session, {
        write: async (...args: Parameters<Session['write']>) => {
          const lost = args[0].startsWith('assignments/') ? loses() : 'nothing'
          if (lost === 'all') return never
          const version = await session.write(...args)
          return lost === 'answer' ? never : version
        },
      })
    },
  })
}

test('an answer that the controller never gets holds nothing up for longer than the limit', async () => {
  await using cluster = new TestCluster()
  let lost = 0
  const coordinator = losing(cluster.world.coordinator({ sessionTimeoutMs: 500 }), () =>
    (lost += 1) === 1 ? 'answer' : 'nothing',
  )
  const a = await cluster.start('a', { coordinator, limits: { stallTimeoutMs: 300 } })
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  expect(lost).toBeGreaterThan(1)
  await eventually(() => a.health().ok, 'all is well')
})

test('a controller that never gets an answer to what it writes gives way to one that does', async () => {
  await using cluster = new TestCluster()
  const coordinator = losing(cluster.world.coordinator({ sessionTimeoutMs: 500 }), () => 'all')
  const a = await cluster.start('a', { coordinator, limits: { stallTimeoutMs: 300 } })
  await eventually(() => a.health().controller, 'it rules')
  const b = await cluster.start('b')
  const orders = await b.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('one'))
  expect(b.health().controller).toBe(true)
})
