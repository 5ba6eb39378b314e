/**
 * The life of a node: starts its adapters and joins, and stops everything in the opposite order, whatever hangs. Says what may be asked of
 * the node meanwhile. Knows of its other parts only what they need at their end.
 */
import { KagamiError, orAborted } from '../contract/index.js'
import { AdapterSet } from './adapter-set.js'
import type { Health } from './api.js'
import type { Directory } from './directory.js'
import type { Holdings } from './holdings.js'
import type { Membership } from './membership.js'
import { checkDeclared, entryLimit, type Settings } from './options.js'
import { Scope } from './scope.js'
import { StopDeadline } from './stop-deadline.js'
import { linkedAbort, sleep } from './waiting.js'

/** For undoing a start that has failed. */
const START_UNDONE_MS = 10_000
/** A call that takes longer is told in the log, since it may wait for something that never comes. */
const SLOW_CALL_MS = 10_000

type Status = Health['status']

export interface LifeContext {
  readonly settings: Settings<never, never>
  readonly membership: Membership
  readonly directory: Directory
  readonly holdings: Holdings
  readonly copies: { readonly hasPending: boolean; tokens(): readonly string[]; close(): Promise<void> }
  /** Runs in the node's scope, from the end of its start on. */
  readonly background: Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>
}

export class NodeLife {
  readonly #context: LifeContext
  readonly #adapters: AdapterSet
  readonly #scope: Scope
  readonly #problems = new Map<string, string>()
  #status: Status = 'stopped'
  #started = false
  #stopping: Promise<void> | undefined
  #maxEntryBytes = 0

  constructor(context: LifeContext) {
    this.#context = context
    const { coordinator, log, snapshots } = context.settings
    this.#adapters = new AdapterSet(coordinator, log, snapshots)
    this.#scope = new Scope((task, error) => {
      this.#problems.set(task, `the ${task} loop ended: ${String(error)}`)
      // What happens to a start is what it rejects with.
      if (this.#status === 'starting') return
      context.settings.seams.logger.error(`the ${task} loop ended with an error`, { error })
    })
  }

  get status(): Status {
    const { membership } = this.#context
    if (this.#status !== 'running') return this.#status
    if (membership.session === undefined) return 'rejoining'
    return membership.leaseHeld ? 'running' : 'suspended'
  }

  /** What has gone wrong with the node itself, for people. */
  get problems(): readonly string[] {
    return [...this.#problems.values()]
  }

  /** The largest entry. Known once the log is started. */
  get maxEntryBytes(): number {
    return this.#maxEntryBytes
  }

  /** Why this node takes no writes now: it is not started, stopping or stopped. */
  unusable(): KagamiError | undefined {
    if (this.#stopping !== undefined || this.#status === 'stopping') return this.#stopped()
    if (this.#status === 'running') return undefined
    const { id } = this.#context.settings.node
    return new KagamiError('KAGAMI_NOT_STARTED', `node '${id}' is not started; await start() first`)
  }

  /** Why nothing can be read on this node any more: its copies are closed. */
  unreadable(): KagamiError | undefined {
    return this.#scope.signal.aborted ? this.#stopped() : undefined
  }

  /**
   * Does what an application asks of the node, until that is done, given up by the caller, or ended by the node's own end. `what` is the call,
   * for people.
   */
  async call<T>(what: string, caller: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const unusable = this.unusable()
    if (unusable !== undefined) throw unusable
    const { clock, logger } = this.#context.settings.seams
    const link = linkedAbort(this.#scope.signal, ...(caller === undefined ? [] : [caller]))
    const slow = clock.timer(SLOW_CALL_MS, () =>
      logger.warn(
        `${what} still waits after ${SLOW_CALL_MS / 1000} s; what hinders it is in health() here, or on the node whose health().controller is true`,
      ),
    )
    try {
      link.signal.throwIfAborted()
      return await work(link.signal)
    } finally {
      slow.cancel()
      link.unlink()
    }
  }

  async start(caller: AbortSignal | undefined): Promise<void> {
    if (this.#started || this.#stopping !== undefined)
      throw new KagamiError('KAGAMI_STOPPED', 'this node was started or stopped before; make another with createKagami')
    this.#started = true
    this.#status = 'starting'
    const link = linkedAbort(this.#scope.signal, ...(caller === undefined ? [] : [caller]))
    try {
      // Not waited for where it goes on all the same: it is the stop that waits until nothing is begun any more.
      await orAborted(this.#scope.track(this.#begin(link.signal)), link.signal)
      // Not where a stop has begun in the same turn.
      if (this.#status === 'starting') this.#status = 'running'
    } catch (error) {
      const undone = new KagamiError('KAGAMI_STOPPED', 'the node could not be started', { cause: error })
      this.#stopping ??= this.#stop(START_UNDONE_MS, undone)
      await this.#stopping
      throw error
    } finally {
      link.unlink()
    }
  }

  stop(deadlineMs: number): Promise<void> {
    this.#stopping ??= this.#stop(deadlineMs, this.#stopped())
    return this.#stopping
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const { settings, membership, directory, background } = this.#context
    await this.#adapters.start({
      cluster: settings.cluster,
      node: settings.node.id,
      logger: settings.seams.logger,
      signal,
    })
    checkDeclared(settings)
    this.#maxEntryBytes = entryLimit(settings)
    const joined = new Promise<void>((resolve, reject) => {
      this.#scope.spawn('membership', async (inner) => {
        await membership.run(inner, resolve).catch((error: unknown) => {
          reject(error)
          throw error
        })
      })
    })
    await orAborted(joined, signal)
    await directory.until(undefined, () => directory.loaded && membership.members.length > 0, signal)
    for (const [task, run] of Object.entries(background)) this.#scope.spawn(task, run)
  }

  /** Does each part, whatever becomes of the ones before. */
  async #stop(deadlineMs: number, reason: KagamiError): Promise<void> {
    const { settings, copies } = this.#context
    const deadline = new StopDeadline(settings.seams, deadlineMs, (what) =>
      this.#problems.set(what, `the stop did not wait for this to end: ${what}`),
    )
    const leaves = this.#status === 'running'
    this.#status = 'stopping'
    if (leaves) {
      const handingOver = (): string => 'handing the primaries over, and waiting for what is under way'
      await deadline.part(0.6, handingOver, (signal) => this.#leave(signal))
    }
    const closing = (): string => `closing the copies of ${copies.tokens().join(', ')}`
    await deadline.part(0.5, closing, () => copies.close())
    this.#scope.abort(reason)
    const leaving = (): string => 'leaving the cluster'
    await deadline.part(0.5, leaving, () => this.#scope.settled())
    await this.#adapters.stop(deadline)
    this.#status = 'stopped'
  }

  /** Hands the primaries over, and waits for what is under way. */
  async #leave(signal: AbortSignal): Promise<void> {
    const { settings, membership, directory, holdings, copies } = this.#context
    if (membership.session !== undefined && holdings.hasMovablePrimary()) {
      await membership.setDraining('leaving', signal)
      await directory.until(undefined, () => !holdings.hasMovablePrimary(), signal)
    }
    while (copies.hasPending) await sleep(settings.seams.clock, 5, signal)
  }

  #stopped(): KagamiError {
    const { id } = this.#context.settings.node
    return new KagamiError(
      'KAGAMI_STOPPED',
      `node '${id}' is stopped, or stopping; use another node, or make a new one`,
    )
  }
}
