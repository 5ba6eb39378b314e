import { evenPlacement } from '@kagami/placement-even'
import { memoryCluster } from '@kagami/testkit'
import { describe, expect, test } from 'vitest'
import {
  createKagami,
  openCluster,
  type Adapter,
  type AdapterContext,
  type Clock,
  type Kagami,
  type KagamiOptions,
  type Token,
} from '../../src/index.js'
import { tokenSettings } from '../../src/runtime/method-options.js'
import { settings } from '../../src/runtime/options.js'
import { systemClock } from '../../src/runtime/system-seams.js'
import { delegate, Ledger, TestCluster } from './harness.js'
import { documented, optionsOfMethod } from './public-options.js'

/** A wrong value, how the message shows it, and what it says would be right. */
type Wrong = readonly [value: unknown, shown: string, right: string]
type Table = Readonly<Record<string, readonly [Wrong, ...Wrong[]]>>

const atLeast = (least: number): readonly [Wrong, ...Wrong[]] => [
  [least - 1, String(least - 1), `a number of at least ${least}`],
  ['5', '"5"', `a number of at least ${least}`],
  [Number.NaN, 'NaN', `a number of at least ${least}`],
  [Infinity, 'Infinity', `a number of at least ${least}`],
  [null, 'null', `a number of at least ${least}`],
]
const duration = (least: number): readonly [Wrong, ...Wrong[]] => {
  const right = `a number from ${least} to 2147483647`
  const [below, ...others] = atLeast(least).map(([value, shown]): Wrong => [value, shown, right])
  return [below!, ...others, [2 ** 31, '2147483648', right], [1e300, '1e+300', right]]
}
const whole = (least: number): readonly [Wrong, ...Wrong[]] => [
  [least - 1, String(least - 1), `a whole number of at least ${least}`],
  [least + 0.5, String(least + 0.5), `a whole number of at least ${least}`],
  [2 ** 53, '9007199254740992', `a whole number of at least ${least}`],
  [10n, '10n', `a whole number of at least ${least}`],
  [null, 'null', `a whole number of at least ${least}`],
]
const aboveZero: readonly [Wrong, ...Wrong[]] = [
  [0, '0', 'a number above 0'],
  [-1, '-1', 'a number above 0'],
  [Infinity, 'Infinity', 'a number above 0'],
  ['1', '"1"', 'a number above 0'],
]
const name = '1 to 100 letters, digits, dots, dashes or underscores'
const names: readonly [Wrong, ...Wrong[]] = [
  ['', '""', name],
  ['a b', '"a b"', name],
  ['a\n', '"a\\n"', name],
  ['x'.repeat(101), `"${'x'.repeat(76)}...`, name],
  [5, '5', name],
  [null, 'null', name],
]
const flags: readonly [Wrong, ...Wrong[]] = [
  ['yes', '"yes"', 'true or false'],
  [1, '1', 'true or false'],
  [null, 'null', 'true or false'],
]
const signals: readonly [Wrong, ...Wrong[]] = [
  [new AbortController(), '[object AbortController]', 'an AbortSignal'],
  [5, '5', 'an AbortSignal'],
  [null, 'null', 'an AbortSignal'],
]
const meta =
  'a plain JSON value of at most 4096 bytes: strings, finite numbers, booleans, null, and arrays and plain objects of them'
const cycle: Record<string, unknown> = {}
cycle['self'] = cycle
const half = { start: () => undefined, stop: () => undefined, encode: () => undefined, now: () => 0 }
const methodsOf = (what: string, methods: string, lacking: string): readonly [Wrong, ...Wrong[]] => [
  [5, '5', `${what} with the methods ${methods}`],
  [null, 'null', `${what} with the methods ${methods}`],
  [Ledger, 'a function', `${what} with the methods ${methods}`],
  [new Ledger(), '[object Object]', `${what} with the methods ${methods}`],
  [half, '{}', `${what} with the methods ${methods}${lacking === '' ? '' : `; it lacks ${lacking}`}`],
]
const groups = (members: string): readonly [Wrong, ...Wrong[]] => [
  [5, '5', `an object of options: ${members}`],
  [null, 'null', `an object of options: ${members}`],
  [[], '[]', `an object of options: ${members}`],
]

const members = {
  node: 'id, zone, capacity, meta',
  limits:
    'maxEntryBytes, maxFrameBytes, maxFrameEntries, maxInFlightEntries, maxInFlightBytes, maxWaiting, maxWaitingBytes, appendTimeoutMs, ' +
    'lingerMs, retryMs, lookMs, restoreTimeoutMs, stallTimeoutMs',
  snapshotting: 'everyEntries, everyBytes, everyMs, keep, atOnce',
  placementLimits: 'graceMs, restoresPerNode',
  seams: 'clock, random, logger, metrics',
}

/** For every option of `createKagami`. */
const wrong: Table = {
  cluster: names,
  node: groups(members.node),
  'node.id': names,
  'node.zone': names,
  'node.capacity': aboveZero,
  'node.meta': [
    [() => 'url', 'a function', meta],
    [5n, '5n', meta],
    [cycle, 'an object', meta],
    [{ count: 5n }, 'an object', meta],
    [{ since: new Date(0) }, '{"since":"1970-01-01T00:00:00.000Z"}', meta],
    [{ url: undefined }, '{}', meta],
    [[{ load: Number.NaN }], '[{"load":null}]', meta],
    [new Map([['url', 'http://a']]), '[object Map]', meta],
    ['x'.repeat(4096), `"${'x'.repeat(76)}...`, meta],
  ],
  log: methodsOf('a commit log', 'start, stop, allocate, find, open, release', 'allocate, find, open, release'),
  coordinator: methodsOf('a coordinator', 'start, stop, connect', 'connect'),
  snapshots: methodsOf('a snapshot store', 'start, stop, create, list, open, delete', 'create, list, open, delete'),
  placement: methodsOf('a placement strategy', 'place', ''),
  stateMachine: [
    [new Ledger(), '[object Object]', 'a function (token) => StateMachine'],
    [undefined, 'undefined', 'a function (token) => StateMachine'],
  ],
  codec: methodsOf('a codec', 'encode, decode', 'decode'),
  limits: groups(members.limits),
  'limits.maxEntryBytes': whole(1),
  'limits.maxFrameBytes': whole(1),
  'limits.maxFrameEntries': [
    [0, '0', 'a whole number from 1 to 4294967295'],
    [2 ** 32, '4294967296', 'a whole number from 1 to 4294967295'],
    [2.5, '2.5', 'a whole number from 1 to 4294967295'],
  ],
  'limits.maxInFlightEntries': whole(1),
  'limits.maxInFlightBytes': whole(1),
  'limits.maxWaiting': whole(1),
  'limits.maxWaitingBytes': whole(1),
  'limits.appendTimeoutMs': duration(100),
  'limits.lingerMs': duration(0),
  'limits.retryMs': groups('first, longest'),
  'limits.retryMs.first': duration(1),
  'limits.retryMs.longest': [...duration(1), [4, '4', 'a number from 5 to 2147483647']],
  'limits.lookMs': duration(1),
  'limits.restoreTimeoutMs': duration(1),
  'limits.stallTimeoutMs': duration(100),
  snapshotting: groups(members.snapshotting),
  'snapshotting.everyEntries': whole(1),
  'snapshotting.everyBytes': whole(1),
  'snapshotting.everyMs': duration(1),
  'snapshotting.keep': whole(2),
  'snapshotting.atOnce': whole(1),
  placementLimits: groups(members.placementLimits),
  'placementLimits.graceMs': duration(0),
  'placementLimits.restoresPerNode': whole(1),
  seams: groups(members.seams),
  'seams.clock': methodsOf('a clock', 'now, monotonicMs, timer, yield', 'monotonicMs, timer, yield'),
  'seams.random': methodsOf('a source of chance', 'uint64, fraction', ''),
  'seams.logger': methodsOf('a logger', 'debug, info, warn, error', ''),
  'seams.metrics': methodsOf('a sink for metrics', 'count, gauge, observe', ''),
}

const tokenOptions: Table = {
  replicas: whole(0),
  primary: [
    ['owner', '"owner"', "'balanced' or 'self'"],
    [true, 'true', "'balanced' or 'self'"],
  ],
  failover: [
    ['wait', '"wait"', "'promote' or 'hold'"],
    ['hold', '"hold"', "nothing unless primary is 'self'"],
  ],
  failback: [...flags, [true, 'true', "nothing unless primary is 'self'"]],
  weight: aboveZero,
  adopt: flags,
  onPromote: [
    ['log', '"log"', 'a function ({ signal, fence }) => void'],
    [null, 'null', 'a function ({ signal, fence }) => void'],
  ],
  onDemote: [[{}, '{}', 'a function () => void']],
  signal: signals,
}

/** For every option of the node's methods. */
const wrongInMethods: Readonly<Record<'start' | 'token' | 'alter' | 'handover' | 'drain' | 'remove' | 'stop', Table>> =
  {
    start: { signal: signals },
    token: tokenOptions,
    alter: {
      replicas: whole(0),
      weight: aboveZero,
      failover: [['wait', '"wait"', "'promote' or 'hold'"]],
      failback: flags,
      signal: signals,
    },
    handover: { to: [...names, [undefined, 'undefined', name]], signal: signals },
    drain: { signal: signals },
    remove: { signal: signals },
    stop: { deadlineMs: atLeast(0) },
  }

/** Options of which each is right, with those groups that a wrong one needs around it. */
function right(): KagamiOptions<number> {
  const world = memoryCluster()
  return {
    cluster: 'test',
    node: { id: 'a' },
    log: world.commitLog(),
    coordinator: world.coordinator(),
    snapshots: world.snapshotStore(),
    placement: evenPlacement(),
    stateMachine: () => new Ledger(),
    limits: { retryMs: { first: 5, longest: 5 } },
  }
}

/** The options with one of them, named as `limits.lookMs`, replaced. */
function replaced(options: object, path: string, value: unknown): object {
  const [first = '', ...rest] = path.split('.')
  const inner = (options as Readonly<Record<string, object | undefined>>)[first] ?? {}
  return { ...options, [first]: rest.length === 0 ? value : replaced(inner, rest.join('.'), value) }
}

/** Makes a node of options that no type checker has seen. */
const make = (options: unknown): Kagami<number> => createKagami(options as KagamiOptions<number>)

type Method = keyof typeof wrongInMethods

/** Calls a method of the node with options that no type checker has seen. */
function call(method: Method, options: unknown): Promise<unknown> {
  const node = make(right()) as unknown as Record<Method, (...args: unknown[]) => Promise<unknown>>
  const named = ['token', 'alter', 'handover', 'remove'].includes(method)
  return named ? node[method]('orders', options) : node[method](options)
}

const refusal = (option: string, message: string): unknown =>
  expect.objectContaining({ code: 'KAGAMI_BAD_OPTION', message, details: expect.objectContaining({ option }) })

describe('a wrong option of createKagami is refused by name, with its value and what would be right', () => {
  test.each(Object.entries(wrong))('%s', (option, rows) => {
    for (const [value, shown, expected] of rows) {
      const message = `option ${option} is ${shown}; expected ${expected}`
      expect(() => make(replaced(right(), option, value)), message).toThrow(refusal(option, message))
    }
  })
})

describe('a wrong option of a method is refused by name, before the method does anything', () => {
  const tables = Object.entries(wrongInMethods) as [Method, Table][]
  test.each(
    tables.flatMap(([method, table]) => Object.entries(table).map(([option, rows]) => ({ method, option, rows }))),
  )('$method: $option', async ({ method, option, rows }) => {
    for (const [value, shown, expected] of rows) {
      const message = `option ${option} is ${shown}; expected ${expected}`
      // A node that is not started would say so, if it came to that.
      const outcome = call(method, { ...(method === 'handover' && { to: 'b' }), [option]: value })
      await expect(outcome, message).rejects.toEqual(refusal(option, message))
    }
  })
})

test('every option of the public types has a wrong value in the tables above', () => {
  const nested = { node: 'NodeOptions', limits: 'LimitOptions', snapshotting: 'SnapshotOptions' } as const
  const groups = { '': 'KagamiOptions', ...nested, placementLimits: 'PlacementLimitOptions' }
  for (const [group, type] of Object.entries(groups)) {
    const options = [...documented(type).keys()].map((option) => (group === '' ? option : `${group}.${option}`))
    expect(options.length).toBeGreaterThan(0)
    expect(Object.keys(wrong)).toEqual(expect.arrayContaining(options))
  }
  for (const [method, table] of Object.entries(wrongInMethods)) {
    const options = optionsOfMethod(method)
    expect(options.length).toBeGreaterThan(0)
    expect(Object.keys(table)).toEqual(expect.arrayContaining([...options]))
  }
})

test('a required option that is left out is named', () => {
  const required = ['cluster', 'node', 'node.id', 'log', 'coordinator', 'snapshots', 'placement', 'stateMachine']
  for (const option of required) {
    const message = expect.stringMatching(`^option ${option} is undefined; expected .`) as string
    expect(() => make(replaced(right(), option, undefined)), option).toThrow(refusal(option, message))
  }
  expect(() => make(undefined)).toThrow(
    refusal('options', expect.stringMatching(/^option options is undefined/) as string),
  )
})

describe('an option that does not exist is refused by name, with the nearest that does', () => {
  test.each([
    ['snapshoting', 'snapshotting'],
    ['limit', 'limits'],
    ['nod', 'node'],
    ['limits.lingerMS', 'limits.lingerMs'],
    ['limits.maxInflightEntries', 'limits.maxInFlightEntries'],
    ['limits.retryMs.fisrt', 'limits.retryMs.first'],
    ['node.zones', 'node.zone'],
    ['snapshotting.everyEntry', 'snapshotting.everyEntries'],
    ['placementLimits.gracems', 'placementLimits.graceMs'],
    ['seams.clocks', 'seams.clock'],
  ])('%s', (option, near) => {
    const message = `there is no option ${option}; did you mean ${near}?`
    expect(() => make(replaced(right(), option, 5))).toThrow(refusal(option, message))
  })

  test('without a near one the existing ones are listed, and its value is not shown', () => {
    const message = `there is no option node.password; expected one of node.id, node.zone, node.capacity, node.meta`
    expect(() => make(replaced(right(), 'node.password', 'secret'))).toThrow(refusal('node.password', message))
  })

  test.each(Object.keys(wrongInMethods) as Method[])('in %s, too', async (method) => {
    const near = { ...wrongInMethods[method] }
    const [option = ''] = Object.keys(near)
    const outcome = call(method, { ...(method === 'handover' && { to: 'b' }), [`${option}s`]: 5 })
    const misspelt = `${option}s`
    await expect(outcome).rejects.toEqual(refusal(misspelt, `there is no option ${misspelt}; did you mean ${option}?`))
  })
})

test("a method's options must be an object, where they are given", async () => {
  for (const method of Object.keys(wrongInMethods) as Method[]) {
    const message = expect.stringMatching(/^option options is 5; expected an object of options: ./) as string
    await expect(call(method, 5), method).rejects.toEqual(refusal('options', message))
  }
})

describe('so are wrong options of the methods of a token', () => {
  const never = { incarnation: 1, index: 99 }
  const methods: Readonly<Record<string, (token: Token<number>, options: never) => Promise<unknown>>> = {
    replicate: (token, options) => token.replicate(Uint8Array.of(1), options),
    waitFor: (token, options) => token.waitFor(never, options),
    sync: (token, options) => token.sync(options),
  }

  test.each(Object.entries(methods))('%s', async (_, method) => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    for (const [options, option, message] of [
      [5, 'options', 'option options is 5; expected an object of options: signal'],
      [{ signl: AbortSignal.timeout(1) }, 'signl', 'there is no option signl; did you mean signal?'],
      ...signals.map(([value, shown, right]) => [
        { signal: value },
        'signal',
        `option signal is ${shown}; expected ${right}`,
      ]),
    ] as const) {
      await expect(method(orders, options as never)).rejects.toEqual(refusal(option as string, message as string))
    }
    expect((orders.state as Ledger).lines).toEqual([])
  })

  test('the position that is waited for', async () => {
    await using cluster = new TestCluster()
    const a = await cluster.start('a')
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    for (const [position, option, shown] of [
      [undefined, 'position.incarnation', 'undefined'],
      [5, 'position.incarnation', 'undefined'],
      [{ incarnation: 1 }, 'position.index', 'undefined'],
      [{ incarnation: 1, index: Number.NaN }, 'position.index', 'NaN'],
      [{ incarnation: '1', index: 0 }, 'position.incarnation', '"1"'],
    ] as const) {
      const message = `option ${option} is ${shown}; expected a whole number of at least 0`
      await expect(orders.waitFor(position as never)).rejects.toEqual(refusal(option, message))
    }
  })
})

test('a wrong name of a token is refused by every method that takes one', async () => {
  const node = make(right())
  const message = (shown: string): string =>
    `option token is ${shown}; expected a non-empty string of at most 200 bytes in UTF-8`
  for (const [token, shown] of [
    ['', '""'],
    ['\u{1f60a}'.repeat(51), expect.anything()],
    ['\ud800', '"\\ud800"'],
    [5 as unknown as string, '5'],
  ] as const) {
    const wanted = typeof shown === 'string' ? message(shown) : (expect.any(String) as string)
    for (const outcome of [
      node.token(token),
      node.alter(token, {}),
      node.handover(token, { to: 'b' }),
      node.remove(token),
    ]) {
      await expect(outcome).rejects.toEqual(refusal('token', wanted))
    }
  }
})

test('an event that does not exist, and a listener that is none, are refused', () => {
  const node = make(right())
  const events = [...documented('KagamiEvents').keys()]
  for (const event of events) expect(node.on(event as 'joined', () => undefined)).toBeTypeOf('function')
  const listed = events.map((event) => `'${event}'`).join(' or ')
  expect(() => node.on('promotd' as 'promoted', () => undefined)).toThrow(
    refusal('event', `option event is "promotd"; expected ${listed}`),
  )
  expect(() => node.on('promoted', undefined as unknown as () => void)).toThrow(
    refusal('listener', 'option listener is undefined; expected a function (payload) => void'),
  )
})

describe('defaults are what the doc comments say', () => {
  /** Says in numbers and words what a doc comment says. */
  const said: Readonly<Record<string, unknown>> = {
    'a zone of its own': null,
    '64 MiB': 64 * 2 ** 20,
    '20 and 2000': { first: 20, longest: 2000 },
    '30_000, with a jitter of a fifth': 30_000,
    // Known once the log is: see below.
    '1_000_000, or what the log takes': undefined,
    null: null,
    true: true,
    false: false,
    "'balanced'": 'balanced',
    "'promote'": 'promote',
  }
  const documentedDefaults = (type: string): Record<string, unknown> => {
    const defaults: Record<string, unknown> = {}
    for (const [option, text] of documented(type)) {
      if (text === undefined) continue
      defaults[option] = text in said ? said[text] : Number(text.replaceAll('_', ''))
    }
    return defaults
  }
  const { limits: _, ...minimal } = right()
  const actual = settings(minimal)

  test.each([
    ['NodeOptions', actual.node],
    ['LimitOptions', actual.limits],
    ['SnapshotOptions', { ...actual.cadence, keep: actual.keep, atOnce: actual.snapshotsAtOnce }],
    ['PlacementLimitOptions', { graceMs: actual.graceMs, restoresPerNode: actual.restoresPerNode }],
    ['TokenOptions', { ...tokenSettings({}), adopt: false }],
  ])('%s', (type, defaults) => {
    const documentation = documentedDefaults(type)
    expect(Object.keys(documentation).length).toBeGreaterThan(0)
    expect(defaults).toMatchObject(documentation)
    if (type !== 'NodeOptions') expect(Object.keys(documentation).sort()).toEqual(Object.keys(defaults).sort())
  })

  test("the seams are the system's, and values are bytes", () => {
    expect(Object.keys(actual.seams).sort()).toEqual(['clock', 'logger', 'metrics', 'random'])
    const { clock } = settings({ ...minimal, seams: { metrics: actual.seams.metrics } }).seams
    expect(Math.abs(clock.now() - Date.now())).toBeLessThan(10_000)
    const bytes = Uint8Array.of(1, 2)
    expect(actual.codec.encode(bytes)).toBe(bytes)
    expect(actual.codec.decode(bytes)).toBe(bytes)
    expect(() => actual.codec.encode('text' as unknown as Uint8Array)).toThrow(
      refusal('value', 'option value is "text"; expected a Uint8Array, or pass a codec to createKagami'),
    )
  })

  test('an entry may have 1,000,000 bytes, or what the log takes', async () => {
    await using cluster = new TestCluster()
    const large = await cluster.start('a', { log: cluster.world.commitLog({ maxRecordBytes: 4_000_000 }), limits: {} })
    const orders = await large.token('orders', { replicas: 0, primary: 'self' })
    await expect(orders.replicate(new Uint8Array(1_000_001))).rejects.toMatchObject({ details: { limit: 1_000_000 } })
    await orders.replicate(new Uint8Array(1_000_000))
    const log = cluster.world.commitLog({ maxRecordBytes: 65_536 })
    const wants = cluster.make('b', { log, limits: { maxEntryBytes: 65_536 } })
    await expect(wants.start()).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      details: { option: 'limits.maxEntryBytes', expected: expect.stringMatching(/^at most 65\d{3}, which is/) },
    })
  })

  test('a stop takes 10 seconds at the most', async () => {
    const delays: number[] = []
    const clock: Clock = {
      ...systemClock(),
      monotonicMs: () => 0,
      timer: (delayMs, callback) => {
        delays.push(delayMs)
        return systemClock().timer(delayMs, callback)
      },
    }
    await createKagami<number>({ ...right(), seams: { clock } }).stop()
    expect(Math.max(...delays)).toBe(10_000)
    expect(documented('Kagami').get('stop')).toBe('deadlineMs 10_000')
  })
})

describe('a number that an adapter declares is checked once it is started', () => {
  const adapter = (cluster: TestCluster, kind: 'log' | 'coordinator'): Adapter =>
    kind === 'log' ? cluster.world.commitLog() : cluster.world.coordinator({ sessionTimeoutMs: 500 })

  test.each([
    ['log', 'maxRecordBytes', 65_536],
    ['log', 'appendsInFlight', 1],
    ['coordinator', 'maxDocumentBytes', 262_144],
  ] as const)('%s.%s', async (kind, property, least) => {
    await using cluster = new TestCluster()
    const option = `${kind}.${property}`
    for (const value of [undefined, null, '65536', Number.NaN, Infinity, -1, least - 1, least + 0.5]) {
      const node = cluster.make('a', { [kind]: delegate(adapter(cluster, kind), { [property]: value }) })
      const shown = typeof value === 'string' ? `"${value}"` : String(value)
      const expected = `a whole number of at least ${least}, declared by the adapter 'memory'`
      const message = `option ${option} is ${shown}; expected ${expected}`
      await expect(node.start(), message).rejects.toEqual(refusal(option, message))
    }
    const own: Record<string, unknown> = { [property]: undefined }
    const learning = adapter(cluster, kind)
    own['start'] = async (context: AdapterContext) => {
      await learning.start(context)
      own[property] = least
    }
    await cluster.start('a', { [kind]: delegate(learning, own) })
  })

  test('also where a cluster is opened from outside', async () => {
    await using cluster = new TestCluster()
    const coordinator = delegate(cluster.world.coordinator(), { maxDocumentBytes: undefined })
    await expect(openCluster({ cluster: 'test', coordinator })).rejects.toMatchObject({
      code: 'KAGAMI_BAD_OPTION',
      details: { option: 'coordinator.maxDocumentBytes' },
    })
  })
})

test('what was passed can be changed afterwards without any effect', () => {
  const meta = { url: 'http://a' }
  const { node } = settings({ ...right(), node: { id: 'a', meta } })
  meta.url = 'http://b'
  expect(node.meta).toEqual({ url: 'http://a' })
})
