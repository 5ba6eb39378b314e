/**
 * Every option of `createKagami` and of `openCluster`, declared once: its check and its default. Turns what was passed into settings; does nothing with
 * them.
 */
import { types } from 'node:util'
import {
  badOption,
  type Adapter,
  type Clock,
  type Codec,
  type CommitLog,
  type Coordinator,
  type Logger,
  type Metrics,
  type PlacementStrategy,
  type Random,
  type Seams,
  type SnapshotStore,
} from '../contract/index.js'
import { frameOverhead } from '../engine/frame.js'
import type { KagamiOptions, LimitOptions, NodeOptions, PlacementLimitOptions, SnapshotOptions } from './api.js'
import type { ClusterOptions } from './cluster-api.js'
import {
  abortSignal,
  aboveZero,
  atLeast,
  callback,
  group,
  having,
  json,
  name,
  optional,
  or,
  orDefaults,
  whole,
  type Check,
  type ChecksOf,
} from './option-checks.js'
import { systemSeams } from './system-seams.js'

/** The longest name of a token, in UTF-8. */
export const MAX_TOKEN_BYTES = 200
const MAX_META_BYTES = 4096
const MIB = 2 ** 20
const DEFAULT_MAX_ENTRY_BYTES = 1_000_000
/** The longest delay that a timer takes: a longer one would end before its time. */
const LONGEST_MS = 2 ** 31 - 1
/** A frame tells in 32 bits how many entries it holds. */
const MOST_FRAME_ENTRIES = 2 ** 32 - 1

const duration = (leastMs: number): Check<number> => atLeast(leastMs, LONGEST_MS)

const node = group({
  id: name,
  zone: or(name, null),
  capacity: or(aboveZero, 1),
  meta: or(json(MAX_META_BYTES), null),
} satisfies ChecksOf<NodeOptions>)

const retryMs: Check<{ readonly first: number; readonly longest: number }> = (value, option) => {
  const checked = group({ first: duration(1), longest: duration(1) })(value, option)
  duration(checked.first)(checked.longest, `${option}.longest`)
  return checked
}

const limits = group({
  /** Undefined: what the log takes, at most 1 MB; known once the log is started. */
  maxEntryBytes: optional(whole(1)),
  maxFrameBytes: or(whole(1), 262_144),
  maxFrameEntries: or(whole(1, MOST_FRAME_ENTRIES), 1024),
  maxInFlightEntries: or(whole(1), 4096),
  maxInFlightBytes: or(whole(1), 8 * MIB),
  maxWaiting: or(whole(1), 65_536),
  maxWaitingBytes: or(whole(1), 64 * MIB),
  appendTimeoutMs: or(duration(100), 30_000),
  lingerMs: or(duration(0), 0),
  retryMs: or(retryMs, { first: 20, longest: 2000 }),
  lookMs: or(duration(1), 500),
  restoreTimeoutMs: or(duration(1), 60_000),
  stallTimeoutMs: or(duration(100), 60_000),
} satisfies ChecksOf<LimitOptions>)

const snapshotting = group({
  everyEntries: or(whole(1), 100_000),
  everyBytes: or(whole(1), 64 * MIB),
  everyMs: or(duration(1), 30_000),
  keep: or(whole(2), 2),
  atOnce: or(whole(1), 2),
} satisfies ChecksOf<SnapshotOptions>)

const placementLimits = group({
  graceMs: or(duration(0), 10_000),
  restoresPerNode: or(whole(1), 4),
} satisfies ChecksOf<PlacementLimitOptions>)

const seams = group({
  clock: optional(having<Clock>('a clock', 'now', 'monotonicMs', 'timer', 'yield')),
  random: optional(having<Random>('a source of chance', 'uint64', 'fraction')),
  logger: optional(having<Logger>('a logger', 'debug', 'info', 'warn', 'error')),
  metrics: optional(having<Metrics>('a sink for metrics', 'count', 'gauge', 'observe')),
} satisfies ChecksOf<Seams>)

const coordinator = having<Coordinator>('a coordinator', 'start', 'stop', 'connect')
const snapshots = having<SnapshotStore>('a snapshot store', 'start', 'stop', 'create', 'list', 'open', 'delete')

const kagami = group({
  cluster: name,
  node,
  log: having<CommitLog>('a commit log', 'start', 'stop', 'allocate', 'find', 'open', 'release'),
  coordinator,
  snapshots,
  placement: having<PlacementStrategy>('a placement strategy', 'place'),
  stateMachine: callback('(token) => StateMachine'),
  codec: optional(having<Codec<unknown>>('a codec', 'encode', 'decode')),
  limits: orDefaults(limits),
  snapshotting: orDefaults(snapshotting),
  placementLimits: orDefaults(placementLimits),
  seams: orDefaults(seams),
} satisfies ChecksOf<KagamiOptions>)

const cluster = group({
  cluster: name,
  coordinator,
  snapshots: optional(snapshots),
  seams: orDefaults(seams),
  signal: optional(abortSignal),
} satisfies ChecksOf<ClusterOptions>)

export type Limits = ReturnType<typeof limits>

export interface Settings<R, C> extends Pick<
  ReturnType<typeof kagami>,
  'cluster' | 'node' | 'log' | 'coordinator' | 'snapshots' | 'placement' | 'limits'
> {
  readonly stateMachine: KagamiOptions<R, C>['stateMachine']
  readonly codec: Codec<C>
  readonly cadence: { readonly everyEntries: number; readonly everyBytes: number; readonly everyMs: number }
  readonly keep: number
  readonly snapshotsAtOnce: number
  readonly graceMs: number
  readonly restoresPerNode: number
  readonly seams: Seams
}

/** @throws KAGAMI_BAD_OPTION */
export function settings<R, C>(options: KagamiOptions<R, C>): Settings<R, C> {
  const { snapshotting, placementLimits, seams, ...checked } = kagami(options, '')
  const { keep, atOnce, ...cadence } = snapshotting
  return {
    ...checked,
    stateMachine: options.stateMachine,
    codec: (checked.codec ?? bytesCodec) as Codec<C>,
    cadence,
    keep,
    snapshotsAtOnce: atOnce,
    ...placementLimits,
    seams: orSystem(seams),
  }
}

export type ClusterSettings = ReturnType<typeof clusterSettings>

/** @throws KAGAMI_BAD_OPTION */
export function clusterSettings(options: ClusterOptions): Omit<ReturnType<typeof cluster>, 'seams'> & {
  readonly seams: Seams
} {
  const checked = cluster(options, '')
  return { ...checked, seams: orSystem(checked.seams) }
}

function orSystem({ clock, random, logger, metrics }: ReturnType<typeof seams>): Seams {
  const system = systemSeams()
  return {
    clock: clock ?? system.clock,
    random: random ?? system.random,
    logger: logger ?? system.logger,
    metrics: metrics ?? system.metrics,
  }
}

/**
 * Checks the numbers that adapters declare, once they are started: some learn them from their server. A limit that is missing would be none.
 * @throws KAGAMI_BAD_OPTION that names the property and the adapter
 */
export function checkDeclared({
  coordinator,
  log,
}: {
  readonly coordinator: Coordinator
  readonly log?: CommitLog
}): void {
  declared('coordinator.maxDocumentBytes', coordinator.maxDocumentBytes, 262_144, coordinator)
  if (log === undefined) return
  declared('log.maxRecordBytes', log.maxRecordBytes, 65_536, log)
  declared('log.appendsInFlight', log.appendsInFlight, 1, log)
}

function declared(property: string, value: unknown, least: number, { name }: Adapter): void {
  if (Number.isSafeInteger(value) && (value as number) >= least) return
  throw badOption(property, value, `a whole number of at least ${least}, declared by the adapter '${name}'`)
}

/**
 * The largest entry, once the log is started and says what it takes.
 * @throws KAGAMI_BAD_OPTION
 */
export function entryLimit({ log, limits }: Pick<Settings<never, never>, 'log' | 'limits'>): number {
  const room = log.maxRecordBytes - frameOverhead(MAX_TOKEN_BYTES)
  const wanted = limits.maxEntryBytes
  if (wanted !== undefined && wanted > room) {
    throw badOption('limits.maxEntryBytes', wanted, `at most ${room}, which is what the log '${log.name}' takes`)
  }
  return wanted ?? Math.min(DEFAULT_MAX_ENTRY_BYTES, room)
}

const bytesCodec: Codec<Uint8Array> = {
  encode(value) {
    if (!types.isUint8Array(value)) throw badOption('value', value, 'a Uint8Array, or pass a codec to createKagami')
    return value
  },
  decode: (bytes) => bytes,
}
