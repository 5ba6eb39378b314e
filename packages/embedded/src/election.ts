/** One session's candidacies and leaderships. A leadership ends with the lease, never later. */
import { randomBytes } from 'node:crypto'
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { Leadership, Logger } from '@kagami/core/contract'
import { isForbidden } from './errors.js'
import type { Lease } from './lease.js'
import { officePollMs } from './offices.js'
import type { Offices } from './offices.js'
import type { Pulse } from './pulse.js'
import type { Roster } from './roster.js'

export class Election {
  readonly #session: string
  readonly #lease: Lease
  readonly #offices: Offices
  readonly #roster: Roster
  /** Beats when an office has changed hands. */
  readonly #changes: Pulse
  /** Tickets of leaderships that are over, though the document may still say otherwise. */
  readonly #abandoned = new Set<string>()
  readonly #logger: Logger
  #current: LiveLeadership | undefined
  #ended = false

  constructor(
    session: string,
    lease: Lease,
    office: { readonly offices: Offices; readonly roster: Roster; readonly changes: Pulse; readonly logger: Logger },
  ) {
    const { offices, roster, changes, logger } = office
    this.#session = session
    this.#lease = lease
    this.#offices = offices
    this.#roster = roster
    this.#changes = changes
    this.#logger = logger
  }

  async campaign(signal: AbortSignal): Promise<Leadership> {
    for (;;) {
      signal.throwIfAborted()
      const [changes, roster] = [this.#changes.count, this.#roster.changes.count]
      if (this.#lease.state === 'held' && this.#current === undefined) {
        const leadership = await this.#try(signal)
        if (leadership !== undefined) return leadership
      }
      const woken = new AbortController()
      const wake = (pulse: Pulse, count: number): Promise<void> => pulse.wait(count, woken.signal, officePollMs)
      const abort = (): void => woken.abort(signal.reason)
      signal.addEventListener('abort', abort, { once: true })
      try {
        await Promise.race([wake(this.#changes, changes), wake(this.#roster.changes, roster)])
      } finally {
        signal.removeEventListener('abort', abort)
        woken.abort()
      }
    }
  }

  /** Ends the leadership at once: the lease has lapsed. */
  suspend(): void {
    const leadership = this.#current
    leadership?.end(outOfContact(leadership.epoch))
  }

  /** Ends it with the session, for the session's own reason. */
  end(reason: KagamiError): void {
    this.#ended = true
    this.#current?.end(reason)
  }

  async #try(signal: AbortSignal): Promise<Leadership | undefined> {
    const ticket = randomBytes(8).toString('hex')
    let epoch: number | undefined
    try {
      epoch = await this.#offices.tryLead(this.#session, ticket, this.#abandoned)
    } catch (error) {
      // It may have been written all the same; then it is the leadership of nobody, and may be taken over.
      this.#abandoned.add(ticket)
      // What lasts is for whoever campaigns to tell of.
      if (isKagamiError(error, 'KAGAMI_BAD_DOCUMENT') || isForbidden(error)) throw error
      this.#logger.warn('a leader can not be elected now', { error })
      return undefined
    }
    if (epoch === undefined) return undefined
    // Whatever was written before is written over.
    this.#abandoned.clear()
    const leadership: LiveLeadership = new LiveLeadership(epoch, () => this.#leave(leadership, ticket))
    this.#current = leadership
    // The session may have died while this was written; only a contact that began later tells.
    await this.#lease.touch()
    if (this.#ended || signal.aborted || this.#lease.state !== 'held') leadership.end(outOfContact(epoch))
    void this.#watchOffice(leadership)
    return leadership.signal.aborted ? undefined : leadership
  }

  /** Ends the leadership as soon as nobody else can see it, or sees another's. */
  async #watchOffice(leadership: LiveLeadership): Promise<void> {
    while (!leadership.signal.aborted) {
      const seen = this.#changes.count
      if (!(await this.#offices.isInForce(leadership.epoch))) leadership.end(officeLost(leadership.epoch))
      await this.#changes.wait(seen, leadership.signal, officePollMs).catch(() => undefined)
    }
  }

  async #leave(leadership: LiveLeadership, ticket: string): Promise<void> {
    this.#abandoned.add(ticket)
    if (this.#current === leadership) this.#current = undefined
    // Whoever expires takes his offices along.
    for (let waitMs = 50; !this.#ended; waitMs = Math.min(2_000, waitMs * 2)) {
      try {
        await this.#offices.release(leadership.epoch)
        break
      } catch {
        await new Promise((resolve) => setTimeout(resolve, waitMs))
      }
    }
    this.#abandoned.delete(ticket)
  }
}

class LiveLeadership implements Leadership {
  readonly epoch: number
  readonly #controller = new AbortController()
  readonly #leave: () => Promise<void>
  #leaving: Promise<void> | undefined

  constructor(epoch: number, leave: () => Promise<void>) {
    this.epoch = epoch
    this.#leave = leave
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  end(reason: KagamiError): void {
    void this.#end(reason)
  }

  resign(): Promise<void> {
    return this.#end(
      new KagamiError('KAGAMI_STOPPED', `the leadership of epoch ${this.epoch} was resigned: campaign again`),
    )
  }

  #end(reason: KagamiError): Promise<void> {
    // The signal first: nobody else is elected while it says that this one leads.
    this.#controller.abort(reason)
    this.#leaving ??= this.#leave()
    return this.#leaving
  }
}

function outOfContact(epoch: number): KagamiError {
  const message = `the leadership of epoch ${epoch} can't be relied on, for the lease has lapsed: campaign again once it is held`
  return new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', message, { retryable: true })
}

/** The coordinator has lost who leads, or says that it is another. */
function officeLost(epoch: number): KagamiError {
  const message = `the leadership of epoch ${epoch} is not to be seen in the coordinator any more: campaign again`
  return new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', message, { retryable: true })
}
