/**
 * `openCluster`: a look at a running cluster, and a hand in it, from a process that is no node. Follows what the nodes follow, over a session that
 * never joins, and asks for changes by the very code by which a node does.
 */
import { badOption, isKagamiError, KagamiError, type Document, type Session } from '../contract/index.js'
import { verifiedDocument, type VerifiedSnapshots } from '../engine/documents.js'
import { AdapterSet } from './adapter-set.js'
import { alterToken } from './alteration.js'
import type { AlterOptions } from './api.js'
import type { Cluster, ClusterOptions, ClusterStatus, SnapshotStatus, StatusOptions } from './cluster-api.js'
import { clusterStatus, tokenStatuses } from './cluster-status.js'
import { unknownToken } from './copy-errors.js'
import { CopyReports } from './copy-reports.js'
import { Directory, DocumentTable } from './directory.js'
import { handOver } from './handover.js'
import { impatientStore } from './impatient.js'
import { ImpatientCoordinator } from './impatient-coordinator.js'
import { decodeMembers, keepWatching, type LiveMember } from './membership.js'
import { methodOptions, tokenName } from './method-options.js'
import { NewestSnapshots } from './newest-snapshots.js'
import { checkDeclared, clusterSettings, type ClusterSettings } from './options.js'
import { removeToken } from './removal.js'
import { Scope } from './scope.js'
import { SpecChanges } from './spec-changes.js'
import { StopDeadline } from './stop-deadline.js'
import { backoffMs, linkedAbort, sleep, untilAborted } from './waiting.js'

/** What the adapters are told in place of a node's id. */
const NAME = 'administrator'
/** For undoing an opening that has failed. */
const OPENING_UNDONE_MS = 10_000
/** Somebody waits at a terminal for the snapshot store's answer. */
const STORE_PATIENCE_MS = 5_000
/** As a node waits by default. */
const COORDINATOR_PATIENCE_MS = 60_000
const NOTHING_HEARD = { documents: false, members: false, reports: false, snapshots: false }
const RECONNECT_MS = { first: 50, longest: 2_000 }

/**
 * Opens a cluster: starts the adapters, connects, and resolves when members and documents were read once. Joins nothing. Rejects with everything
 * undone.
 * @throws KAGAMI_BAD_OPTION, what an adapter rejects with, the signal's reason
 */
export async function openCluster(options: ClusterOptions): Promise<Cluster> {
  const settings = clusterSettings(options)
  const door = new ClusterDoor(settings)
  try {
    await door.open(settings.signal)
    return door
  } catch (error) {
    await door.stop({ deadlineMs: OPENING_UNDONE_MS })
    throw error
  }
}

class ClusterDoor implements Cluster {
  readonly #settings: ClusterSettings
  readonly #coordinator: ImpatientCoordinator
  readonly #adapters: AdapterSet
  readonly #scope: Scope
  readonly #directory: Directory
  readonly #specs: SpecChanges
  readonly #reports = new CopyReports()
  readonly #verified = new DocumentTable<VerifiedSnapshots>(
    (bytes, name) => verifiedDocument.decode(bytes, name).tokens,
  )
  readonly #snapshots: NewestSnapshots | undefined
  /** The present session; undefined before the first, and between two. */
  #session: Session | undefined
  #members: readonly LiveMember[] = []
  /** What was heard over the present session. */
  #loaded = NOTHING_HEARD
  /** Counts what was heard, so that who looks again knows whether there is anything new. */
  #changes = 0
  #stopping: Promise<void> | undefined

  constructor(settings: ClusterSettings) {
    const { coordinator, snapshots, seams } = settings
    this.#settings = settings
    this.#coordinator = new ImpatientCoordinator(coordinator, {
      clock: seams.clock,
      limitMs: COORDINATOR_PATIENCE_MS,
      logger: seams.logger,
    })
    this.#adapters = new AdapterSet(coordinator, ...(snapshots === undefined ? [] : [snapshots]))
    this.#scope = new Scope((task, error) => seams.logger.error(`following the ${task} ended with an error`, { error }))
    this.#directory = new Directory(seams, () => {
      this.#changes += 1
    })
    this.#specs = new SpecChanges({
      clock: seams.clock,
      random: seams.random,
      session: () => this.#requireSession(),
      assignment: (token) => this.#directory.assignment(token),
    })
    if (snapshots !== undefined) {
      const patient = impatientStore(snapshots, { clock: seams.clock, limitMs: STORE_PATIENCE_MS })
      this.#snapshots = new NewestSnapshots(patient, (token) => this.#verified.get(token))
    }
  }

  async open(caller: AbortSignal | undefined): Promise<void> {
    const { cluster, coordinator, seams } = this.#settings
    const link = linkedAbort(this.#scope.signal, ...(caller === undefined ? [] : [caller]))
    try {
      await this.#adapters.start({ cluster, node: NAME, logger: seams.logger, signal: link.signal })
      checkDeclared({ coordinator })
      const session = await this.#coordinator.connect({ signal: link.signal })
      this.#scope.spawn('cluster', (signal) => this.#keepConnected(session, signal))
    } finally {
      link.unlink()
    }
    await this.#call(caller, () => Promise.resolve())
  }

  async status(options: StatusOptions = {}): Promise<ClusterStatus> {
    const { token } = methodOptions.status(options)
    return this.#call(options.signal, (signal) => this.#status(token, signal))
  }

  async *watch(options: StatusOptions = {}): AsyncGenerator<ClusterStatus, void, void> {
    const { token } = methodOptions.status(options)
    for (;;) {
      const seen = this.#changes
      const status = await this.#call(options.signal, (signal) => this.#status(token, signal)).catch(unlessSessionLost)
      if (status !== undefined) yield status
      await this.#call(options.signal, (signal) =>
        this.#directory.until(undefined, () => this.#changes !== seen, signal),
      ).catch(unlessSessionLost)
    }
  }

  async snapshots(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<readonly SnapshotStatus[]> {
    tokenName(name)
    methodOptions.snapshots(options)
    const store = this.#snapshots
    if (store === undefined) throw badOption('snapshots', undefined, 'the snapshot store that the nodes use')
    return this.#call(options.signal, async (signal) => {
      const found = await store.list(name, { signal })
      if (found.length === 0) this.#tokens(name)
      return found
    })
  }

  async alter(name: string, options: AlterOptions & { readonly signal?: AbortSignal }): Promise<void> {
    tokenName(name)
    methodOptions.alter(options)
    await this.#call(options.signal, (signal) => alterToken(name, options, this.#specs, signal))
  }

  async handover(name: string, options: { readonly to: string; readonly signal?: AbortSignal }): Promise<void> {
    tokenName(name)
    methodOptions.handover(options)
    const { clock, random } = this.#settings.seams
    await this.#call(options.signal, (signal) => {
      const membership = { members: this.#members, requireSession: () => this.#requireSession() }
      const context = { membership, directory: this.#directory, specs: this.#specs, clock, random }
      return handOver(name, options.to, context, signal)
    })
  }

  async remove(name: string, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    tokenName(name)
    methodOptions.remove(options)
    const context = { directory: this.#directory, specs: this.#specs, clock: this.#settings.seams.clock }
    await this.#call(options.signal, (signal) => removeToken(name, context, signal))
  }

  async stop(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    const { deadlineMs } = methodOptions.stop(options)
    this.#stopping ??= this.#stop(deadlineMs)
    await this.#stopping
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #stop(deadlineMs: number): Promise<void> {
    const deadline = new StopDeadline(this.#settings.seams, deadlineMs, () => undefined)
    this.#scope.abort(stopped())
    const closing = (): string => 'ending the session with the coordinator'
    await deadline.part(0.5, closing, () => this.#scope.settled())
    await this.#adapters.stop(deadline)
  }

  /** Does what is asked, over a session that has heard of everything, until that is done, or is given up by the caller, the end of the session or `stop`. */
  async #call<T>(caller: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    // The end of all comes first, since it ends the session, too.
    const ends = [this.#scope.signal, ...(caller === undefined ? [] : [caller])]
    const waiting = linkedAbort(...ends)
    try {
      waiting.signal.throwIfAborted()
      await this.#scope.track(this.#directory.until(undefined, () => this.#hasHeard, waiting.signal))
    } finally {
      waiting.unlink()
    }
    const link = linkedAbort(...ends, this.#requireSession().signal)
    try {
      link.signal.throwIfAborted()
      return await this.#scope.track(work(link.signal))
    } catch (error) {
      throw isKagamiError(error, 'KAGAMI_SESSION_LOST') ? sessionLost(error) : error
    } finally {
      link.unlink()
    }
  }

  /** @throws KAGAMI_SESSION_LOST (retryable) between two sessions */
  #requireSession(): Session {
    if (this.#session === undefined) throw sessionLost()
    return this.#session
  }

  get #hasHeard(): boolean {
    return this.#session !== undefined && Object.values(this.#loaded).every(Boolean)
  }

  /** Follows the cluster over one session after another. */
  async #keepConnected(first: Session, signal: AbortSignal): Promise<void> {
    for (let session = first; ; session = await this.#reconnect(signal)) {
      const scope = new Scope((task, error) =>
        this.#settings.seams.logger.error(`following the ${task} ended with an error`, { error }),
      )
      const over = linkedAbort(signal, session.signal)
      try {
        this.#session = session
        this.#loaded = NOTHING_HEARD
        this.#follow(session, scope)
        await untilAborted(over.signal)
      } finally {
        this.#session = undefined
        over.unlink()
        scope.abort(sessionLost())
        await session.close()
        await scope.settled()
      }
      signal.throwIfAborted()
    }
  }

  async #reconnect(signal: AbortSignal): Promise<Session> {
    const { seams } = this.#settings
    for (let failures = 0; ; failures++) {
      try {
        return await this.#coordinator.connect({ signal })
      } catch (error) {
        signal.throwIfAborted()
        if (failures === 0) seams.logger.warn('the coordinator can not be reached; trying again', { error })
      }
      await sleep(seams.clock, backoffMs(failures, RECONNECT_MS, seams.random), signal)
    }
  }

  #tokens(only: string | undefined): ReturnType<typeof tokenStatuses> {
    const tokens = tokenStatuses(this.#facts, only)
    if (only !== undefined && tokens.length === 0) throw unknownToken(only)
    return tokens
  }

  get #facts(): Parameters<typeof tokenStatuses>[0] {
    return { directory: this.#directory, reports: this.#reports, members: this.#members }
  }

  async #status(only: string | undefined, signal: AbortSignal): Promise<ClusterStatus> {
    const names = this.#tokens(only).map(({ token }) => token)
    let snapshots: ReadonlyMap<string, SnapshotStatus | null> = new Map()
    let snapshotsError: ClusterStatus['snapshotsError'] = null
    try {
      snapshots = (await this.#snapshots?.newest(names, { signal })) ?? snapshots
    } catch (error) {
      // The store is only one of the things that an administrator looks for.
      if (signal.aborted || !isKagamiError(error)) throw error
      snapshotsError = { code: error.code, message: error.message }
    }
    // Looked at again: the store took its time.
    return clusterStatus(this.#settings.cluster, this.#facts, this.#tokens(only), snapshots, snapshotsError)
  }

  #follow(session: Session, scope: Scope): void {
    const { logger } = this.#settings.seams
    const onBad = (name: string, error: unknown): void =>
      logger.error(`the document ${name} can't be read; keeping what it held before`, { error })
    scope.spawn('documents', (signal) => this.#directory.follow(session, signal))
    scope.spawn('first look at the documents', async (signal) => {
      await this.#directory.until(undefined, () => this.#directory.loaded, signal)
      this.#heard('documents')
    })
    this.#watch(
      scope,
      'members',
      (signal) => session.watchMembers({ signal }),
      (records) => {
        this.#members = decodeMembers(records)
      },
    )
    const documents = (kind: 'reports' | 'snapshots', take: (documents: ReadonlyMap<string, Document>) => void): void =>
      this.#watch(scope, kind, (signal) => session.watch(`${kind}/`, { signal }), take)
    documents('reports', (found) => void this.#reports.update(found, onBad))
    documents('snapshots', (found) => void this.#verified.update(found, onBad))
  }

  #watch<T>(
    scope: Scope,
    what: 'members' | 'reports' | 'snapshots',
    watch: (signal: AbortSignal) => AsyncIterable<T>,
    take: (value: T) => void,
  ): void {
    const { clock, random, logger } = this.#settings.seams
    scope.spawn(what, (signal) =>
      keepWatching(
        () => watch(signal),
        (value) => {
          take(value)
          this.#heard(what)
        },
        { clock, random, logger, signal, what },
      ),
    )
  }

  #heard(what: keyof typeof NOTHING_HEARD): void {
    this.#loaded = { ...this.#loaded, [what]: true }
    this.#changes += 1
    this.#directory.nudge([])
  }
}

/** Undefined for a session that is lost; anything else is thrown on. */
function unlessSessionLost(error: unknown): undefined {
  if (!isKagamiError(error, 'KAGAMI_SESSION_LOST')) throw error
}

function sessionLost(cause?: KagamiError): KagamiError {
  return new KagamiError(
    'KAGAMI_SESSION_LOST',
    'the session with the coordinator is over, and another is being opened; try again',
    { retryable: true, cause },
  )
}

function stopped(): KagamiError {
  return new KagamiError('KAGAMI_STOPPED', 'the look at the cluster is over; open another with openCluster')
}
