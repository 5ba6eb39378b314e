/**
 * What only one session may hold at a time: a node id, and the leadership. Each is an entry of a document that is written by
 * compare-and-set, and counts only as long as the session that it names is alive. Which session a damaged document names can't be known: it is
 * written anew, under the next version, once nobody can hold what it gave.
 */
import { isKagamiError, KagamiError, orAborted } from '@kagami/core/contract'
import type { Logger } from '@kagami/core/contract'
import type { Documents } from './documents.js'
import type { Roster } from './roster.js'

const nodesName = 'nodes'
const leaderName = 'leader'

/** How often a leader looks whether its office is what it was, and a candidate whether it is free, where nobody tells. */
export const officePollMs = 250

/** A leader that lives and is not frozen has found the damage by then, and has given its office up, however late its timers are. */
const noticedMs = 4 * officePollMs

interface Office {
  readonly version: number | undefined
  readonly entries: Readonly<Record<string, unknown>>
  /** What it held can't be known any more, and nobody relies on it. */
  readonly lost: boolean
}

interface Damage {
  readonly version: number
  /** By the monotonic clock: when nobody holds any more what it gave. */
  readonly outlastedAtMs: number
}

export class Offices {
  readonly #documents: Documents
  readonly #roster: Roster
  readonly #logger: Logger
  readonly #told: () => void
  /** By document. */
  readonly #damages = new Map<string, Damage>()

  /** `told` is called when an office has changed hands, to tell the others. */
  constructor(documents: Documents, roster: Roster, logger: Logger, told: () => void) {
    this.#documents = documents
    this.#roster = roster
    this.#logger = logger
    this.#told = told
  }

  /** @throws KAGAMI_NODE_ID_TAKEN */
  async claimNode(node: string, session: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const office = await this.#readOnceWhole(nodesName, signal)
      // After the document was read: each session that it names is in the folder by now, or over.
      await this.#roster.refresh()
      const holders = (office.lost ? this.#roster.nodes() : Object.entries(office.entries)).filter(
        (entry): entry is [string, string] => typeof entry[1] === 'string' && this.#roster.isAlive(entry[1]),
      )
      const holder = holders.find(([name]) => name === node)?.[1]
      if (holder === session) return
      if (holder !== undefined) {
        throw new KagamiError(
          'KAGAMI_NODE_ID_TAKEN',
          `another process runs as node ${node}: stop it, or give this one another id`,
          {
            retryable: true,
            details: { node },
          },
        )
      }
      const entries = Object.fromEntries([...holders, [node, session]])
      if ((await this.#documents.write(nodesName, bytesOf(entries), office.version)) !== undefined) return
    }
  }

  /**
   * Makes the session the leader, where there is none. The epoch; undefined when another one leads, or was faster.
   * @throws KAGAMI_BAD_DOCUMENT (retryable) while a damaged office may be somebody's
   */
  async tryLead(session: string, ticket: string, abandoned: ReadonlySet<string>): Promise<number | undefined> {
    const { version, entries: leader } = await this.#read(leaderName)
    if (typeof leader['session'] === 'string' && !abandoned.has(String(leader['ticket']))) {
      if (!this.#roster.isAlive(leader['session'])) await this.#roster.refresh()
      if (this.#roster.isAlive(leader['session'])) return undefined
    }
    const epoch = await this.#documents.write(leaderName, bytesOf({ session, ticket }), version)
    if (epoch !== undefined) this.#told()
    return epoch
  }

  /** False when the leadership of an epoch is known to be over, or nobody else can see whose it is. */
  async isInForce(epoch: number): Promise<boolean> {
    try {
      return (await this.#documents.read(leaderName))?.version === epoch
    } catch (error) {
      return !isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')
    }
  }

  /** Gives the leadership of an epoch up, where it is still in force. */
  async release(epoch: number): Promise<void> {
    try {
      await this.#documents.write(leaderName, bytesOf({}), epoch)
    } catch (error) {
      // It was written over: somebody else leads, or nobody.
      if (!isKagamiError(error, 'KAGAMI_COORDINATOR_UNAVAILABLE') || error.cause !== undefined) throw error
    }
    this.#told()
  }

  /** Waits while it is damaged and may be somebody's. */
  async #readOnceWhole(name: string, signal: AbortSignal): Promise<Office> {
    for (;;) {
      try {
        return await this.#read(name)
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) throw error
        await orAborted(new Promise((resolve) => setTimeout(resolve, officePollMs)), signal)
      }
    }
  }

  /** @throws KAGAMI_BAD_DOCUMENT (retryable) while it is damaged and may be somebody's */
  async #read(name: string): Promise<Office> {
    try {
      const document = await this.#documents.read(name)
      this.#damages.delete(name)
      return { version: document?.version, entries: parse(document?.bytes), lost: false }
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) throw error
      const { version, outlastedAtMs } = await this.#damage(name, error)
      if (performance.now() >= outlastedAtMs) return { version, entries: {}, lost: true }
      throw inDoubt(name, error, outlastedAtMs - performance.now())
    }
  }

  /**
   * A leader that lives gives its office up as soon as it finds it damaged, and one that is frozen has lost it after its timeout. Who was just joining has
   * written its member record by then, or is over, too.
   */
  async #damage(name: string, error: KagamiError): Promise<Damage> {
    const version = error.details['version'] as number
    const known = this.#damages.get(name)
    if (known?.version === version) return known
    const foundAtMs = performance.now()
    // Whoever has written it is in the folder by now, or over.
    await this.#roster.refresh()
    const damage = { version, outlastedAtMs: foundAtMs + this.#roster.longestTimeoutMs + noticedMs }
    this.#damages.set(name, damage)
    this.#logger.error('an office is damaged; it is written anew when nobody can hold it any more', {
      error: inDoubt(name, error, damage.outlastedAtMs - performance.now()),
    })
    return damage
  }
}

function inDoubt(name: string, error: KagamiError, leftMs: number): KagamiError {
  const { path } = error.details
  const seconds = Math.max(1, Math.ceil(leftMs / 1000))
  return new KagamiError(
    'KAGAMI_BAD_DOCUMENT',
    `${String(path)} is damaged, so who holds the office (${name}) can't be told: it is written anew within ${seconds} s, leave it where it is`,
    { retryable: true, cause: error, details: { path, name } },
  )
}

function bytesOf(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function parse(bytes: Uint8Array | undefined): Readonly<Record<string, unknown>> {
  if (bytes === undefined) return {}
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
