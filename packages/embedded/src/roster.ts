/**
 * Which sessions are alive, as one process sees it, and the judge of those that are not: a session is ended when its process
 * is dead, or when this process has seen no new beat of it for its timeout, by this process's own monotonic clock. No clock is
 * ever compared with another one's. One that can't be judged counts as alive, and keeps none of the others from being judged.
 */
import type { Logger, MemberRecord } from '@kagami/core/contract'
import type { Folder } from './folder.js'
import { LastingTrouble } from './lasting-trouble.js'
import { longestSessionTimeoutMs } from './options.js'
import { isDead } from './process-identity.js'
import type { ProcessIdentity } from './process-identity.js'
import { Pulse } from './pulse.js'
import type { SessionFiles, SessionInfo, SessionState } from './session-files.js'
import { SharedLook } from './shared-look.js'

/** Beyond the timeout, so that a session's own lease has lapsed first, also where timers are late. */
const marginMs = 100

/** Who only looks is shown sessions that may be over rather than kept waiting for longer. */
const longestSettlingMs = 10_000

/** A process that was killed takes moments to vanish, after its connections have. */
const deathLooksMs = [0, 5, 10, 20, 40, 80, 160]

interface Known {
  /** Undefined while it could not be looked at. */
  readonly info: SessionInfo | undefined
  beat: number
  /** When its last beat was seen first. */
  seenAt: number
  /** Nothing suggests that it has been silent for long: it was seen to beat, or has beaten lately. */
  readonly beats: boolean
  memberNumber: number
  member: MemberRecord | undefined
}

export class Roster {
  /** Beats when a session comes, goes, or changes its member record. */
  readonly changes = new Pulse()
  readonly #folder: Folder
  readonly #files: SessionFiles
  readonly #logger: Logger
  readonly #intervalMs: number
  #known = new Map<string, Known>()
  /** The sessions of which it was told that they can't be judged as others can. */
  readonly #told = new Set<string>()
  readonly #blindness: LastingTrouble
  #lookedAt = 0
  /** What one look notes must not be undone by another that began before. */
  readonly #looks = new SharedLook(() => this.#look())
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(folder: Folder, files: SessionFiles, logger: Logger, intervalMs: number) {
    this.#folder = folder
    this.#files = files
    this.#logger = logger
    this.#intervalMs = intervalMs
    this.#blindness = new LastingTrouble((error) =>
      logger.warn('nobody can be seen to come or to die, for the sessions can not be looked at', { error }),
    )
  }

  /** How long somebody who is alive now may have been silent at most. */
  get longestTimeoutMs(): number {
    return Math.max(0, ...[...this.#known.values()].map(({ info }) => info?.timeoutMs ?? longestSessionTimeoutMs))
  }

  isAlive(id: string): boolean {
    return this.#known.has(id)
  }

  /** The members that are alive, ordered by node id. */
  members(): readonly MemberRecord[] {
    const members: MemberRecord[] = []
    for (const { member } of this.#known.values()) if (member !== undefined) members.push(member)
    return members.sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
  }

  /** The nodes of the members that are alive, each with its session. */
  nodes(): readonly (readonly [node: string, session: string])[] {
    return [...this.#known].flatMap(([id, { member }]) => (member === undefined ? [] : [[member.node, id] as const]))
  }

  /** Looks into the folder, from now on: what was there when this was called is seen when it resolves. */
  refresh(): Promise<void> {
    return this.#looks.ask()
  }

  /**
   * Resolves when each member that is there now, and seems to have been silent for long, was seen to beat, or to be over: whoever has only begun to look can't tell. Who asks
   * does not wait for very long sessions.
   */
  async settled(signal: AbortSignal): Promise<void> {
    await this.refresh()
    const began = performance.now()
    const first = new Set(this.#known.keys())
    const isOpen = ([id, { member, beats }]: [string, Known]): boolean =>
      first.has(id) && member !== undefined && !beats
    const isOver = (): boolean =>
      performance.now() - began > Math.min(longestSettlingMs, this.longestTimeoutMs + 2 * marginMs)
    while (!this.#stopped && !signal.aborted && !isOver() && [...this.#known].some(isOpen)) {
      await new Promise((resolve) => setTimeout(resolve, this.#intervalMs / 2))
      await this.refresh()
    }
  }

  /** Looks again and again, at least so often that nobody outlives its timeout for long. */
  start(): void {
    const tick = (): void => {
      if (this.#stopped) return
      this.#timer = setTimeout(tick, this.#intervalMs)
      this.refresh().then(
        () => this.#blindness.passed(),
        (error: unknown) => this.#blindness.failed(error),
      )
    }
    tick()
  }

  /** Resolves when nothing is looked at any more: a look may be clearing sessions away. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.refresh().catch(() => undefined)
  }

  /** Tells, once, that a session is closed to this process, or can't be looked at for another reason. */
  refused(id: string, error: unknown): void {
    if (this.#told.has(id)) return
    this.#told.add(id)
    this.#logger.warn(
      `session ${id} can not be judged as others can, and may count as alive for longer: let this process use what lies in it, or end its process`,
      { session: id, error },
    )
  }

  /** A connection to this process has ended: looks closely whether it is dead. */
  async suspect(process: ProcessIdentity): Promise<void> {
    for (const waitMs of deathLooksMs) {
      await new Promise((resolve) => setTimeout(resolve, waitMs))
      if (this.#stopped) return
      await this.refresh().catch(() => undefined)
      const alive = [...this.#known.values()].some(
        ({ info }) => info?.process?.pid === process.pid && info.process.began === process.began,
      )
      if (!alive) return
    }
  }

  async #look(): Promise<void> {
    if (this.#stopped) return
    const began = performance.now()
    // This process was frozen itself, or busy: who is silent may have been so for no longer than between two looks, with the whole machine for instance.
    const sinceMs = began - this.#lookedAt
    const unseenMs = sinceMs > Math.max(500, 3 * this.#intervalMs) ? sinceMs - this.#intervalMs : 0
    this.#lookedAt = began
    const known = new Map<string, Known>()
    let changed = false
    const ids = await this.#files.ids()
    for (const id of ids) {
      const before = this.#known.get(id)
      const now = await this.#judge(id, before, unseenMs).catch((error: unknown) => {
        this.refused(id, error)
        return before ?? { info: undefined, beat: 0, seenAt: began, beats: false, memberNumber: 0, member: undefined }
      })
      if (now === undefined) continue
      known.set(id, now)
      changed ||= before === undefined || before.member !== now.member
    }
    for (const id of this.#known.keys()) changed ||= !known.has(id)
    this.#known = known
    for (const id of this.#told) if (!ids.includes(id)) this.#told.delete(id)
    if (changed) this.changes.beat()
  }

  /** What is known of a session now; undefined when it is over. */
  async #judge(id: string, before: Known | undefined, unseenMs: number): Promise<Known | undefined> {
    const state = await this.#files.look(id)
    const info = before?.info?.process === undefined ? await this.#files.info(id) : before.info
    if (state === undefined) return undefined
    // A session is created whole, so this one was torn by a power failure.
    if (info === undefined) return this.#bury(id, 'it is damaged')
    if (state.dead) return this.#bury(id, 'it was declared dead')
    const known = await this.#note(id, info, state, before, unseenMs)
    const silentMs = performance.now() - known.seenAt
    if (info.process !== undefined && isDead(info.process, this.#folder.own)) {
      // What is dead for certain is over, also where this process may not leave a mark of that.
      const ended = await this.#files.end(id, known.beat).catch((error: unknown) => {
        this.refused(id, error)
        return true
      })
      return ended ? this.#bury(id, 'its process is dead') : known
    }
    if (silentMs <= info.timeoutMs + marginMs || !(await this.#files.end(id, known.beat))) return known
    return this.#bury(id, `it was silent for ${Math.round(silentMs)} ms`)
  }

  async #note(
    id: string,
    info: SessionInfo,
    state: SessionState,
    before: Known | undefined,
    unseenMs: number,
  ): Promise<Known> {
    const silent = before !== undefined && before.beat === state.beat
    let { memberNumber, member } = before ?? { memberNumber: 0, member: undefined }
    if (state.member !== memberNumber) {
      const read = await this.#files.readMember(id, state.member)
      // Replaced meanwhile: the next look sees the newer one.
      if (read !== undefined) [memberNumber, member] = [state.member, read]
    }
    return {
      info,
      beat: state.beat,
      seenAt: silent ? before.seenAt + unseenMs : performance.now(),
      beats: before === undefined ? await this.#files.seemsAlive(id, info.timeoutMs) : before.beats || !silent,
      memberNumber,
      member,
    }
  }

  async #bury(id: string, reason: string): Promise<undefined> {
    this.#logger.debug('a session is over', { session: id, reason })
    // Whoever sees it dead may clear it away; where that fails, another will.
    await this.#files.remove(id).catch(() => undefined)
    return undefined
  }
}
