/**
 * This node's place in the cluster: opens a session, joins as a new member, follows lease and members, and starts over
 * when the session is over. An expired member is never resumed.
 */
import { isKagamiError, KagamiError, type Coordinator, type MemberRecord, type Session } from '../contract/index.js'
import { memberData, type MemberData } from '../engine/documents.js'
import type { Events } from './events.js'
import type { Settings } from './options.js'
import { Scope } from './scope.js'
import { backoffMs, linkedAbort, sleep, untilAborted } from './waiting.js'

/** A member, decoded. */
export interface LiveMember {
  readonly node: string
  readonly member: string
  readonly data: MemberData
}

export interface MembershipContext {
  readonly settings: Settings<never, never>
  readonly coordinator: Pick<Coordinator, 'connect'>
  readonly events: Events
  /** Called for each session once this node has joined; everything that it spawns ends with the session. */
  onJoined(session: Session, member: string, scope: Scope): void
  /** Lease, session or members have changed. */
  onChange(): void
}

/** Beyond the timeout of a session that a killed predecessor may have left behind. */
const NODE_ID_PATIENCE_MS = 1_000

export class Membership {
  readonly #context: MembershipContext
  #current: { readonly session: Session; readonly member: string } | undefined
  #leaseHeld = false
  #members: readonly LiveMember[] = []
  #draining: MemberData['draining'] = 'no'

  constructor(context: MembershipContext) {
    this.#context = context
  }

  get session(): Session | undefined {
    return this.#current?.session
  }

  /** This run of the node; undefined without a session. */
  get member(): string | undefined {
    return this.#current?.member
  }

  get leaseHeld(): boolean {
    return this.#current !== undefined && this.#leaseHeld
  }

  /** The live members, as last heard, ordered by node id. */
  get members(): readonly LiveMember[] {
    return this.#members
  }

  /** @throws KAGAMI_SESSION_LOST (retryable) while there is none */
  requireSession(): Session {
    if (this.#current === undefined) {
      throw new KagamiError(
        'KAGAMI_SESSION_LOST',
        'this node has no session with the coordinator now; it is connecting again, try later',
        {
          retryable: true,
        },
      )
    }
    return this.#current.session
  }

  /** Joins once, and rejects if that is impossible; then keeps this node joined until the signal aborts. Calls `joined` after the first time. */
  async run(signal: AbortSignal, joined: () => void): Promise<void> {
    const { clock, random, logger } = this.#context.settings.seams
    let first = true
    for (let failures = 0; !signal.aborted;) {
      try {
        const session = await this.#context.coordinator.connect({ signal })
        const scope = this.#sessionScope(session)
        try {
          const member = await this.#join(session, signal)
          await this.#live(session, member, scope, signal, () => {
            if (first) joined()
            first = false
          })
          failures = 0
          throw session.signal.reason
        } finally {
          // First, so that the others see this member go whatever still hangs in its scope.
          await session.close()
          await scope.settled()
        }
      } catch (error) {
        if (signal.aborted) return
        if (first) throw error
        failures += 1
        logger.warn('this node is not joined to the cluster now; trying again', { error })
        await sleep(clock, backoffMs(failures, { first: 50, longest: 2000 }, random), signal).catch(() => undefined)
      }
    }
  }

  /** Tells the others whether this node wants to be emptied. */
  async setDraining(draining: MemberData['draining'], signal: AbortSignal): Promise<void> {
    const before = this.#draining
    this.#draining = draining
    const current = this.#current
    if (current === undefined) return
    try {
      await current.session.update(this.#record(current.member), { signal })
    } catch (error) {
      // The caller is told that it did not succeed, so the next member must not announce it.
      this.#draining = before
      throw error
    }
  }

  async #join(session: Session, signal: AbortSignal): Promise<string> {
    const { clock, random } = this.#context.settings.seams
    const { id } = this.#context.settings.node
    const member = `${id}.${random.uint64().toString(16).padStart(16, '0')}`
    const untilMs = clock.monotonicMs() + session.timeoutMs + NODE_ID_PATIENCE_MS
    for (;;) {
      try {
        await session.join(this.#record(member), { signal })
        return member
      } catch (error) {
        // A killed predecessor holds the node id until its session expires.
        if (!isKagamiError(error, 'KAGAMI_NODE_ID_TAKEN') || clock.monotonicMs() >= untilMs) throw error
        await sleep(clock, 50, signal)
      }
    }
  }

  /** What follows a session. Without one of its loops the node would go on with what that told it last, as a primary for instance. */
  #sessionScope(session: Session): Scope {
    const { logger } = this.#context.settings.seams
    const scope = new Scope((task, error) => {
      // That they end with the session is no news.
      if (session.signal.aborted) return
      logger.error(`the ${task} loop ended with an error; leaving the session`, { error })
      scope.abort(error)
    })
    return scope
  }

  /** Resolves when the session is over. Rejects when this node must leave it, with the reason of its scope or of the signal. */
  async #live(session: Session, member: string, scope: Scope, signal: AbortSignal, joined: () => void): Promise<void> {
    const { events } = this.#context
    this.#current = { session, member }
    this.#leaseHeld = true
    events.emit('joined', { member })
    scope.spawn('lease', (inner) => this.#followLease(session, member, inner))
    scope.spawn('members', (inner) => this.#followMembers(session, inner))
    this.#context.onJoined(session, member, scope)
    this.#context.onChange()
    joined()
    const over = linkedAbort(signal, session.signal, scope.signal)
    await untilAborted(over.signal)
    over.unlink()
    this.#current = undefined
    this.#leaseHeld = false
    if (!signal.aborted) events.emit('expired', { member })
    this.#context.onChange()
    scope.abort(new KagamiError('KAGAMI_SESSION_LOST', 'the session is over', { retryable: true }))
    if (!session.signal.aborted) throw over.signal.reason
  }

  async #followLease(session: Session, member: string, signal: AbortSignal): Promise<void> {
    const { events } = this.#context
    for await (const state of session.watchLease({ signal })) {
      const held = state === 'held'
      if (held === this.#leaseHeld) continue
      this.#leaseHeld = held
      events.emit(held ? 'resumed' : 'suspended', { member })
      this.#context.onChange()
    }
    throw new KagamiError('KAGAMI_SESSION_LOST', 'the watch of the lease ended by itself', { retryable: true })
  }

  async #followMembers(session: Session, signal: AbortSignal): Promise<void> {
    const { clock, random, logger } = this.#context.settings.seams
    await keepWatching(
      () => session.watchMembers({ signal }),
      (records) => {
        this.#members = decodeMembers(records)
        this.#context.onChange()
      },
      { clock, random, logger, signal, what: 'members' },
    )
  }

  #record(member: string): MemberRecord {
    const { id, zone, capacity, meta } = this.#context.settings.node
    return { node: id, member, data: memberData.encode({ zone, capacity, meta, draining: this.#draining }) }
  }
}

/** Members whose data can't be read are left out: they run another version, and must not stop this one. */
export function decodeMembers(records: readonly MemberRecord[]): LiveMember[] {
  const members: LiveMember[] = []
  for (const { node, member, data } of records) {
    try {
      members.push({ node, member, data: memberData.decode(data, `member ${node}`) })
    } catch (error) {
      if (!isKagamiError(error)) throw error
    }
  }
  return members
}

/** Watches until the signal aborts: a watch that breaks while the session lives is begun again. */
export async function keepWatching<T>(
  watch: () => AsyncIterable<T>,
  onValue: (value: T) => void,
  context: Pick<Settings<never, never>['seams'], 'clock' | 'random' | 'logger'> & {
    readonly signal: AbortSignal
    readonly what: string
  },
): Promise<void> {
  const { clock, random, logger, signal, what } = context
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      for await (const value of watch()) {
        failures = 0
        onValue(value)
      }
    } catch (error) {
      if (signal.aborted || isKagamiError(error, 'KAGAMI_SESSION_LOST')) return
      logger.warn(`watching the ${what} was interrupted; watching again`, { error })
    }
    await sleep(clock, backoffMs(failures, { first: 20, longest: 1000 }, random), signal).catch(() => undefined)
  }
}
