/**
 * Checks the options of `createKagami` and `token`, once, and fills in defaults. Every refusal names the option, the
 * value and what would be right.
 */
import { badOption, type Seams, type Codec } from '../contract/index.js'
import type { JsonValue, KagamiOptions, TokenOptions } from './api.js'
import { systemSeams } from './system-seams.js'

const NAME = /^[A-Za-z0-9._-]{1,100}$/
/** The longest name of a token, in UTF-8. */
export const MAX_TOKEN_BYTES = 200
const MAX_META_BYTES = 4096

export interface Settings<R, C> {
  readonly cluster: string
  readonly node: {
    readonly id: string
    readonly zone: string | null
    readonly capacity: number
    readonly meta: JsonValue
  }
  readonly log: KagamiOptions<R, C>['log']
  readonly coordinator: KagamiOptions<R, C>['coordinator']
  readonly snapshots: KagamiOptions<R, C>['snapshots']
  readonly placement: KagamiOptions<R, C>['placement']
  readonly stateMachine: KagamiOptions<R, C>['stateMachine']
  readonly codec: Codec<C>
  readonly limits: Limits
  readonly cadence: { readonly everyEntries: number; readonly everyBytes: number; readonly everyMs: number }
  readonly keep: number
  readonly snapshotsAtOnce: number
  readonly graceMs: number
  readonly restoresPerNode: number
  readonly seams: Seams
}

export interface Limits {
  /** Undefined: what the log takes, at most 1 MB; known once the log is started. */
  readonly maxEntryBytes: number | undefined
  readonly maxFrameBytes: number
  readonly maxFrameEntries: number
  readonly maxInFlightEntries: number
  readonly maxInFlightBytes: number
  readonly maxWaiting: number
  readonly maxWaitingBytes: number
  readonly appendTimeoutMs: number
  readonly lingerMs: number
  readonly retryMs: { readonly first: number; readonly longest: number }
  readonly lookMs: number
  readonly restoreTimeoutMs: number
}

/** @throws KAGAMI_BAD_OPTION */
export function settings<R, C>(options: KagamiOptions<R, C>): Settings<R, C> {
  object('options', options)
  object('node', options.node)
  name('cluster', options.cluster)
  name('node.id', options.node.id)
  if (options.node.zone !== undefined) name('node.zone', options.node.zone)
  const meta = options.node.meta ?? null
  if (Buffer.byteLength(JSON.stringify(meta)) > MAX_META_BYTES) {
    throw badOption('node.meta', meta, `a JSON value of at most ${MAX_META_BYTES} bytes`)
  }
  methods('log', options.log, ['start', 'stop', 'allocate', 'find', 'open', 'release'])
  methods('coordinator', options.coordinator, ['start', 'stop', 'connect'])
  methods('snapshots', options.snapshots, ['start', 'stop', 'create', 'list', 'open', 'delete'])
  methods('placement', options.placement, ['place'])
  if (typeof options.stateMachine !== 'function') {
    throw badOption('stateMachine', options.stateMachine, 'a function (token) => StateMachine')
  }
  if (options.codec !== undefined) methods('codec', options.codec, ['encode', 'decode'])
  const limits = options.limits ?? {}
  const snapshotting = options.snapshotting ?? {}
  const placementLimits = options.placementLimits ?? {}
  const retryMs = limits.retryMs ?? { first: 20, longest: 2000 }
  atLeast('limits.retryMs.first', retryMs.first, 1)
  atLeast('limits.retryMs.longest', retryMs.longest, retryMs.first)
  return {
    cluster: options.cluster,
    node: {
      id: options.node.id,
      zone: options.node.zone ?? null,
      capacity: positive('node.capacity', options.node.capacity ?? 1),
      meta,
    },
    log: options.log,
    coordinator: options.coordinator,
    snapshots: options.snapshots,
    placement: options.placement,
    stateMachine: options.stateMachine,
    codec: options.codec ?? (bytesCodec as unknown as Codec<C>),
    limits: {
      maxEntryBytes:
        limits.maxEntryBytes === undefined ? undefined : whole('limits.maxEntryBytes', limits.maxEntryBytes, 1),
      maxFrameBytes: whole('limits.maxFrameBytes', limits.maxFrameBytes ?? 262_144, 1),
      maxFrameEntries: whole('limits.maxFrameEntries', limits.maxFrameEntries ?? 1024, 1),
      maxInFlightEntries: whole('limits.maxInFlightEntries', limits.maxInFlightEntries ?? 4096, 1),
      maxInFlightBytes: whole('limits.maxInFlightBytes', limits.maxInFlightBytes ?? 8_388_608, 1),
      maxWaiting: whole('limits.maxWaiting', limits.maxWaiting ?? 65_536, 0),
      maxWaitingBytes: whole('limits.maxWaitingBytes', limits.maxWaitingBytes ?? 64 * 2 ** 20, 1),
      appendTimeoutMs: atLeast('limits.appendTimeoutMs', limits.appendTimeoutMs ?? 30_000, 100),
      lingerMs: atLeast('limits.lingerMs', limits.lingerMs ?? 0, 0),
      retryMs,
      lookMs: atLeast('limits.lookMs', limits.lookMs ?? 500, 1),
      restoreTimeoutMs: atLeast('limits.restoreTimeoutMs', limits.restoreTimeoutMs ?? 60_000, 1),
    },
    cadence: {
      everyEntries: whole('snapshotting.everyEntries', snapshotting.everyEntries ?? 100_000, 1),
      everyBytes: whole('snapshotting.everyBytes', snapshotting.everyBytes ?? 64 * 2 ** 20, 1),
      everyMs: atLeast('snapshotting.everyMs', snapshotting.everyMs ?? 30_000, 1),
    },
    keep: whole('snapshotting.keep', snapshotting.keep ?? 2, 2),
    snapshotsAtOnce: whole('snapshotting.atOnce', snapshotting.atOnce ?? 2, 1),
    graceMs: atLeast('placementLimits.graceMs', placementLimits.graceMs ?? 10_000, 0),
    restoresPerNode: whole('placementLimits.restoresPerNode', placementLimits.restoresPerNode ?? 4, 1),
    seams: { ...systemSeams(), ...options.seams },
  }
}

export interface TokenSettings {
  readonly replicas: number
  readonly weight: number
  readonly primary: 'balanced' | 'self'
  readonly failover: 'promote' | 'hold'
  readonly failback: boolean
}

/** @throws KAGAMI_BAD_OPTION */
export function tokenSettings(options: TokenOptions): TokenSettings {
  const primary = options.primary ?? 'balanced'
  if (primary !== 'balanced' && primary !== 'self') throw badOption('primary', primary, "'balanced' or 'self'")
  const failover = options.failover ?? 'promote'
  if (failover !== 'promote' && failover !== 'hold') throw badOption('failover', failover, "'promote' or 'hold'")
  if (primary === 'balanced' && options.failover !== undefined) {
    throw badOption('failover', failover, "nothing unless primary is 'self'")
  }
  if (primary === 'balanced' && options.failback !== undefined) {
    throw badOption('failback', options.failback, "nothing unless primary is 'self'")
  }
  return {
    replicas: whole('replicas', options.replicas ?? 1, 0),
    weight: positive('weight', options.weight ?? 1),
    primary,
    failover,
    failback: options.failback ?? false,
  }
}

/** @throws KAGAMI_BAD_OPTION */
export function tokenName(token: unknown): string {
  if (
    typeof token !== 'string' ||
    token === '' ||
    Buffer.byteLength(token) > MAX_TOKEN_BYTES ||
    Buffer.from(token).toString() !== token
  ) {
    throw badOption('token', token, `a non-empty string of at most ${MAX_TOKEN_BYTES} bytes in UTF-8`)
  }
  return token
}

const bytesCodec: Codec<Uint8Array> = {
  encode(value) {
    if (!(value instanceof Uint8Array)) throw badOption('value', value, 'a Uint8Array, or pass a codec to createKagami')
    return value
  },
  decode: (bytes) => bytes,
}

function object(option: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw badOption(option, value, 'an object')
}

function name(option: string, value: unknown): void {
  if (typeof value !== 'string' || !NAME.test(value)) {
    throw badOption(option, value, '1 to 100 letters, digits, dots, dashes or underscores')
  }
}

function methods(option: string, value: unknown, names: readonly string[]): void {
  const has = (key: string): boolean => typeof (value as Record<string, unknown>)[key] === 'function'
  if (typeof value !== 'object' || value === null || !names.every(has)) {
    throw badOption(option, value, `an adapter with ${names.join(', ')}`)
  }
}

function whole(option: string, value: number, least: number): number {
  if (!Number.isSafeInteger(value) || value < least)
    throw badOption(option, value, `a whole number of at least ${least}`)
  return value
}

function atLeast(option: string, value: number, least: number): number {
  if (typeof value !== 'number' || !(value >= least) || value === Infinity)
    throw badOption(option, value, `a number of at least ${least}`)
  return value
}

function positive(option: string, value: number): number {
  if (typeof value !== 'number' || !(value > 0) || value === Infinity)
    throw badOption(option, value, 'a number above 0')
  return value
}
