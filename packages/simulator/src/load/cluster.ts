/** The nodes of a run: starts, kills, stops and pauses them, and hands out those that run. Each start is a new process with everything new. */
import type { Kagami, KagamiOptions, StateMachine, Token } from '@kagami/core'
import { isKagamiError } from '@kagami/core/contract'
import { toldOf, type Calls } from '../check/calls.js'
import type { Ghost } from '../check/ghost.js'
import type { Ledger } from '../check/ledger.js'
import { SimProcess } from '../kernel/process.js'
import { describe } from '../kernel/trace.js'
import type { CoordinatorServer } from '../world/coordinator-server.js'
import type { LogServer } from '../world/log-server.js'
import { simCommitLog } from '../world/sim-log.js'
import { simCoordinator } from '../world/sim-coordinator.js'
import { simSnapshotStore } from '../world/sim-store.js'
import type { StoreServer } from '../world/store-server.js'
import type { World } from '../world/wire.js'
import { SimMachine } from './machine.js'
import { simPlacement } from './placement.js'

/** Makes a node: `createKagami`, or something that stands in for it. */
export type NodeFactory = (options: KagamiOptions<number>) => Kagami<number>

export interface Servers {
  readonly log: LogServer
  readonly coordinator: CoordinatorServer
  readonly store: StoreServer
}

export interface ClusterOptions {
  readonly world: World
  readonly servers: Servers
  readonly ghost: Ghost
  readonly ledger: Ledger
  readonly calls: Calls
  readonly createNode: NodeFactory
  readonly nodes: number
  readonly sessionTimeoutMs: number
  readonly graceMs: number
  readonly keep: number
}

/** One run of a node. */
export interface RunningNode {
  readonly process: SimProcess
  readonly kagami: Kagami<number>
  /** `start` has resolved, and `stop` was not called. */
  ready: boolean
  stopping: boolean
  /** Copies that are to fail at their next entry. */
  readonly poisoned: Set<string>
  /** A copy of it has failed. */
  hasFailed: boolean
}

export class Cluster {
  readonly #options: ClusterOptions
  readonly #running = new Map<string, RunningNode>()
  readonly #runs = new Map<string, number>()
  readonly #serving = new Map<string, string>()
  #processes = 0

  constructor(options: ClusterOptions) {
    this.#options = options
  }

  get names(): readonly string[] {
    return Array.from({ length: this.#options.nodes }, (_, i) => 'abcdefghij'[i]!)
  }

  /** Undefined where each node stands by itself. */
  zoneOf(name: string): string | undefined {
    return this.#options.nodes > 3 ? `zone-${this.names.indexOf(name) % 3}` : undefined
  }

  /** The nodes that have a process, in order. */
  all(): RunningNode[] {
    return this.names.flatMap((name) => this.#running.get(name) ?? [])
  }

  ready(): RunningNode[] {
    return this.all().filter((node) => node.ready && node.process.state === 'running')
  }

  get(name: string): RunningNode | undefined {
    return this.#running.get(name)
  }

  /** The node that holds a primary of the token and knows it, if one does. */
  primaryOf(token: string): { readonly node: RunningNode; readonly handle: Token<number> } | undefined {
    for (const node of this.ready()) {
      const handle = node.kagami.get(token)
      if (handle?.role === 'primary') return { node, handle }
    }
    return undefined
  }

  start(name: string): void {
    if (this.#running.has(name)) return
    const { world, trace } = { world: this.#options.world, trace: this.#options.world.trace }
    const run = (this.#runs.get(name) ?? 0) + 1
    this.#runs.set(name, run)
    const process = new SimProcess({
      index: this.#processes++,
      node: name,
      run,
      scheduler: world.scheduler,
      chance: world.chance,
      trace,
    })
    const poisoned = new Set<string>()
    const isPoisoned = (token: string): boolean => poisoned.delete(token)
    const node: RunningNode = {
      process,
      kagami: this.#create(process, isPoisoned),
      ready: false,
      stopping: false,
      poisoned,
      hasFailed: false,
    }
    this.#running.set(name, node)
    this.#watch(node)
    trace.add(process.label, 'starts')
    process.after(0, () => {
      node.kagami.start().then(
        () => {
          node.ready = !node.stopping
          trace.add(process.label, 'is ready')
        },
        (error: unknown) => {
          trace.add(process.label, `could not start: ${describe(error)}`)
          const passing = ['KAGAMI_TIMEOUT', 'KAGAMI_STOPPED', 'KAGAMI_SESSION_LOST']
          if (!isKagamiError(error) || !(error.retryable || passing.includes(error.code))) {
            trace.violation('L', `${process.label} can not start: ${describe(error)}`)
          }
          // As a supervisor would.
          world.scheduler.after(world.chance.between(100, 1000), undefined, () => this.start(name))
          this.#gone(node)
        },
      )
    })
  }

  #create(process: SimProcess, poisoned: (token: string) => boolean): Kagami<number> {
    const { world, servers, ghost, createNode, sessionTimeoutMs, graceMs, keep } = this.#options
    const { chance } = world
    const zone = this.zoneOf(process.node)
    return createNode({
      cluster: 'sim',
      node: { id: process.node, ...(zone === undefined ? {} : { zone }) },
      log: simCommitLog(world, process, servers.log),
      coordinator: simCoordinator(world, process, servers.coordinator, sessionTimeoutMs),
      snapshots: simSnapshotStore(world, process, servers.store),
      placement: simPlacement(),
      stateMachine: (): StateMachine<number> => new SimMachine({ label: process.label, ghost, poisoned }),
      limits: {
        lookMs: 1000,
        retryMs: { first: 20, longest: 400 },
        maxFrameEntries: 1 + chance.below(8),
        restoreTimeoutMs: 20_000,
      },
      snapshotting: { everyEntries: 5 + chance.below(30), everyMs: 3000, keep },
      placementLimits: { graceMs },
      seams: process.seams,
    })
  }

  #watch(node: RunningNode): void {
    const { kagami, process } = node
    const { trace } = this.#options.world
    const say = (text: string): void => trace.add(process.label, text)
    kagami.on('promoted', ({ token, incarnation, epoch }) => {
      trace.count('promotions')
      say(`serves ${token} i${incarnation} e${epoch}`)
      const key = `${token}, life ${this.#options.ghost.lifeOf(token)}, i${incarnation} e${epoch}`
      const other = this.#serving.get(key)
      if (other !== undefined && other !== process.label)
        trace.violation('S3', `${key} is served by ${other} and by ${process.label}`)
      this.#serving.set(key, process.label)
      const handle = kagami.get(token)
      const machine = handle?.state as SimMachine | undefined
      if (handle?.next !== undefined && machine !== undefined)
        this.#options.ghost.serves(process.label, token, epoch, handle.next, machine.digest)
    })
    kagami.on('demoted', ({ token, reason }) => say(`serves ${token} no more: ${reason}`))
    kagami.on('joined', ({ member }) => say(`joined as ${member}`))
    kagami.on('suspended', () => {
      trace.count('suspensions')
      say('is suspended')
    })
    kagami.on('resumed', () => say('resumes'))
    kagami.on('expired', () => {
      trace.count('expiries')
      say('has lost its session')
    })
    kagami.on('controller', ({ elected, epoch }) =>
      say(elected ? `is controller ${epoch}` : `is controller ${epoch} no more`),
    )
    kagami.on('restored', ({ token, snapshot, next }) => {
      if (snapshot === undefined) trace.count('replays')
      say(`restored ${token} at ${next.incarnation}/${next.index} from ${snapshot ?? 'its log'}`)
    })
    kagami.on('copy', ({ token, opened }) => say(`${opened ? 'opens' : 'drops'} its copy of ${token}`))
    kagami.on('snapshot', ({ token, phase, id, error }) =>
      say(`snapshot ${phase} ${token} ${id}${error ? ` ${describe(error)}` : ''}`),
    )
    kagami.on('deleted', ({ token, incarnation }) => {
      trace.count('deletions')
      say(`${token} i${incarnation} is deleted`)
    })
    kagami.on('failed', ({ token, error }) => {
      trace.count('failures')
      node.hasFailed = true
      say(`its copy of ${token} fails: ${describe(error)}`)
      const expected = ['KAGAMI_APPLY_FAILED', 'KAGAMI_LOG_UNAVAILABLE', 'KAGAMI_STORE_UNAVAILABLE', 'KAGAMI_TIMEOUT']
      if (expected.includes(error.code)) return
      // A copy that has not heard of its token's end, or whose documents have forgotten it, may find its log cleaned up.
      const { ghost } = this.#options
      const { incarnation, start } = error.details
      const lives = incarnation === ghost.truth(token)?.incarnation && start === String(ghost.home(token)?.start)
      if (error.code === 'KAGAMI_LOG_GAP' && !lives) trace.count('failuresOfTheDeleted')
      else trace.violation('S8', `${process.label}'s copy of ${token} fails: ${describe(error)}`)
    })
  }

  kill(name: string): void {
    const node = this.#running.get(name)
    if (node === undefined) return
    this.#options.world.trace.add(node.process.label, 'is killed')
    this.#gone(node)
  }

  /** Stops it in order; gives whether it did something. */
  stop(name: string): boolean {
    const node = this.#running.get(name)
    if (node === undefined || !node.ready || node.stopping || node.process.state !== 'running') return false
    const { trace } = this.#options.world
    node.stopping = true
    node.ready = false
    trace.add(node.process.label, 'is told to stop')
    const startedMs = trace.nowMs()
    node.process.after(0, () => {
      node.kagami.stop({ deadlineMs: 3000 }).then(
        () => {
          trace.add(node.process.label, 'has stopped')
          if (trace.nowMs() > startedMs + 20_000)
            trace.violation('L', `${node.process.label} took ${Math.round(trace.nowMs() - startedMs)} ms to stop`)
          // What it has promised to settle is settled when it exits.
          node.process.after(1, () => {
            for (const operation of this.#options.ledger.pending()) {
              if (operation.caller === node.process.label)
                trace.violation('S5', `op ${operation.id} is still pending when ${operation.caller} has stopped`)
            }
            for (const call of this.#options.calls.pending()) {
              if (call.caller === node.process.label) trace.violation('L', `${toldOf(call)} when its node has stopped`)
            }
            this.#gone(node)
          })
        },
        (error: unknown) => trace.violation('L', `${node.process.label} rejects stop: ${describe(error)}`),
      )
    })
    return true
  }

  #gone(node: RunningNode): void {
    if (this.#running.get(node.process.node) === node) this.#running.delete(node.process.node)
    node.ready = false
    node.process.kill()
    this.#options.ledger.abandon(node.process.label)
    this.#options.calls.abandon(node.process.label)
  }
}
