/**
 * What only one session may hold at a time: a node id, and the leadership. Each is an entry of a document that is written by
 * compare-and-set, and counts only as long as the session that it names is alive.
 */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { Documents } from './documents.js'
import type { Roster } from './roster.js'

const nodesName = 'nodes'
const leaderName = 'leader'

export class Offices {
  readonly #documents: Documents
  readonly #roster: Roster
  readonly #told: () => void

  /** `told` is called when an office has changed hands, to tell the others. */
  constructor(documents: Documents, roster: Roster, told: () => void) {
    this.#documents = documents
    this.#roster = roster
    this.#told = told
  }

  /** @throws KAGAMI_NODE_ID_TAKEN */
  async claimNode(node: string, session: string): Promise<void> {
    for (;;) {
      const document = await this.#documents.read(nodesName)
      // After the document was read: each session that it names is in the folder by now, or over.
      await this.#roster.refresh()
      const holders = Object.entries(parse(document?.bytes) ?? {}).filter(
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
      if ((await this.#documents.write(nodesName, bytesOf(entries), document?.version)) !== undefined) return
    }
  }

  /** Makes the session the leader, where there is none. The epoch; undefined when another one leads, or was faster. */
  async tryLead(session: string, ticket: string, abandoned: ReadonlySet<string>): Promise<number | undefined> {
    const document = await this.#documents.read(leaderName)
    const leader = parse(document?.bytes)
    if (typeof leader?.['session'] === 'string' && !abandoned.has(String(leader['ticket']))) {
      if (!this.#roster.isAlive(leader['session'])) await this.#roster.refresh()
      if (this.#roster.isAlive(leader['session'])) return undefined
    }
    const epoch = await this.#documents.write(leaderName, bytesOf({ session, ticket }), document?.version)
    if (epoch !== undefined) this.#told()
    return epoch
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
}

function bytesOf(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function parse(bytes: Uint8Array | undefined): Readonly<Record<string, unknown>> | undefined {
  if (bytes === undefined) return undefined
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}
