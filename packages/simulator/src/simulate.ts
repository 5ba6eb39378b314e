/** One run: builds a world from a seed, lets it live, lets it come to rest, and says what was seen. The same seed gives the same run. */
import { createHash } from 'node:crypto'
import { createKagami } from '@kagami/core'
import { badOption, refuseUnknownOptions } from '@kagami/core/contract'
import { boundsOf } from './check/bounds.js'
import { Calls } from './check/calls.js'
import { callAtRest } from './check/calls-at-rest.js'
import { converge } from './check/finale.js'
import { Ghost } from './check/ghost.js'
import { Ledger } from './check/ledger.js'
import { Proposals } from './check/proposals.js'
import { Chance } from './kernel/chance.js'
import { faultKinds, Faults, type FaultOptions } from './kernel/faults.js'
import { Scheduler } from './kernel/scheduler.js'
import { describe, Trace, type Violation } from './kernel/trace.js'
import { Chaos } from './load/chaos.js'
import { Cluster, type NodeFactory } from './load/cluster.js'
import { Workload } from './load/workload.js'
import { CoordinatorServer } from './world/coordinator-server.js'
import { LogServer } from './world/log-server.js'
import { StoreServer } from './world/store-server.js'
import type { World } from './world/wire.js'

/** What `simulate` takes. What is left out is drawn from the seed, or is the usual. */
export interface SimulateOptions {
  /** Decides everything. A whole number. */
  readonly seed: number
  /** 1 to 10. From 4 on they are in three zones. @default 3 */
  readonly nodes?: number
  /** How many the clients create and write to, 1 to 1000. @default 3 or 4, by the seed */
  readonly tokens?: number
  /** How long faults and traffic last, in virtual seconds. @default 20 */
  readonly seconds?: number
  /** How often each fault happens, as a factor of its usual rate. @default by the seed: never, as usual, or three times as often */
  readonly faults?: FaultOptions
  /** Makes the nodes. @default the core that ships */
  readonly createNode?: NodeFactory
}

/** What was seen of a run. A broken promise is a violation in here, never a rejection. */
export interface SimulateResult {
  /** The one that was given: it makes the same run again. */
  readonly seed: number
  /** SHA-256 of all that happened. Equal for equal options. */
  readonly traceHash: string
  /** Empty when every promise was kept. */
  readonly violations: readonly Violation[]
  /** How often what happened. `fault.…`: injected; `frame.…`: what became of frames. */
  readonly counts: Readonly<Record<string, number>>
  /** What happened, one line each. */
  readonly timeline: readonly string[]
}

const names: Readonly<Record<keyof SimulateOptions, true>> = {
  seed: true,
  nodes: true,
  tokens: true,
  seconds: true,
  faults: true,
  createNode: true,
}

const sessionTimeoutMs = 1500
const graceMs = 1500
const keep = 2

/** Runs one seed. Not twice at once in one process: rejections that nobody handles could not be told apart. */
export async function simulate(options: SimulateOptions): Promise<SimulateResult> {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object with a seed')
  refuseUnknownOptions(options, Object.keys(names))
  const { seed } = options
  if (!Number.isSafeInteger(seed)) throw badOption('seed', seed, 'a whole number')
  const chance = new Chance(seed)
  const trace = new Trace()
  const scheduler = new Scheduler(chance, (error) => trace.violation('BUG', `a callback throws ${stackOf(error)}`))
  trace.nowMs = () => scheduler.nowMs
  const faults = new Faults(chance, checked(options.faults ?? {}))
  const world: World = { scheduler, chance, faults, trace }
  const ledger = new Ledger(trace)
  const calls = new Calls(trace)
  const store = new StoreServer()
  const ghost = new Ghost(trace, ledger, store, keep)
  const servers = {
    log: new LogServer(chance, ghost),
    coordinator: new CoordinatorServer(new Proposals(trace, () => ghost.forget())),
    store,
  }
  const cluster = new Cluster({
    world,
    servers,
    ghost,
    ledger,
    calls,
    createNode: options.createNode ?? createKagami,
    nodes: within('nodes', options.nodes ?? 3, 1, 10),
    sessionTimeoutMs,
    graceMs,
    keep,
  })
  const tokens = within('tokens', options.tokens ?? 3 + chance.below(2), 1, 1000)
  const workload = new Workload({ world, cluster, ghost, ledger, calls, tokens })
  const chaos = new Chaos({ world, cluster, servers, ghost, tokens: workload.tokens })
  const onRejection = (error: unknown): void =>
    trace.violation('BUG', `a rejection that nobody handles: ${stackOf(error)}`)
  process.on('unhandledRejection', onRejection)
  // Faults make errors by the thousand, and most of an error's cost is its stack.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 4
  try {
    const broken = (): boolean => trace.violations.length > 0
    for (const name of cluster.names) cluster.start(name)
    workload.begin()
    chaos.begin()
    await scheduler.run(within('seconds', options.seconds ?? 20, 1, 86_400) * 1000, broken)
    trace.add('finale', 'faults stop')
    faults.stop()
    workload.stop()
    chaos.stop()
    const { coordinator } = servers
    const finale = { world, cluster, workload, ghost, ledger, calls }
    const bounds = boundsOf({ sessionTimeoutMs, documentsLost: coordinator.documentsLost })
    const comeToRest = async (what: 'converge' | 'coldStart'): Promise<void> => {
      if (!broken()) await converge(finale, what, bounds)
      if (!broken()) await callAtRest(finale, what, bounds)
    }
    await comeToRest('converge')
    if (!broken()) {
      for (const name of cluster.names) cluster.kill(name)
      for (const session of servers.coordinator.sessions()) servers.coordinator.end(session)
      for (const name of cluster.names) cluster.start(name)
      await comeToRest('coldStart')
    }
  } finally {
    process.off('unhandledRejection', onRejection)
    Error.stackTraceLimit = stackTraceLimit
  }
  trace.counts['events'] = scheduler.count
  return {
    seed,
    traceHash: hashOf(trace, scheduler.digest),
    violations: trace.violations,
    counts: trace.counts,
    timeline: trace.lines,
  }
}

function hashOf(trace: Trace, digest: number): string {
  const hash = createHash('sha256')
  hash.update(trace.lines.join('\n'))
  hash.update(JSON.stringify([digest, trace.counts, trace.violations]))
  return hash.digest('hex')
}

function stackOf(error: unknown): string {
  return error instanceof Error ? `${describe(error)}\n${error.stack ?? ''}` : describe(error)
}

function checked(faults: FaultOptions): FaultOptions {
  for (const [kind, factor] of Object.entries(faults)) {
    if (kind !== 'all' && !faultKinds.some((known) => known === kind))
      throw badOption(`faults.${kind}`, factor, `one of ${faultKinds.join(', ')}`)
    if (!(factor >= 0)) throw badOption(`faults.${kind}`, factor, 'a number of at least 0')
  }
  return faults
}

function within(option: string, value: number, least: number, most: number): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw badOption(option, value, `a whole number from ${least} to ${most}`)
  return value
}
