/**
 * Which snapshots were read back and found whole, kept with the coordinator, so that the next snapshotter knows. Losing the record is harmless: nothing is
 * truncated until as many new ones are verified.
 */
import { isKagamiError, type CallOptions, type Session } from '../contract/index.js'
import { bucketOf, verifiedDocument, type VerifiedSnapshots } from '../engine/documents.js'

export class VerifiedRecord {
  readonly #session: () => Session

  /** `session` gives the present session, or throws KAGAMI_SESSION_LOST. */
  constructor(session: () => Session) {
    this.#session = session
  }

  /** Adds an id and gives all that are known, the newest `keep` + 1 at least. */
  async add(
    token: string,
    incarnation: number,
    id: string,
    keep: number,
    options: CallOptions,
  ): Promise<ReadonlySet<string>> {
    const name = `snapshots/${bucketOf(token)}`
    for (;;) {
      const session = this.#session()
      const document = await session.read(name, options)
      const tokens = document === undefined ? [] : verifiedDocument.decode(document.bytes, name).tokens
      const before = tokens.find((entry) => entry.token === token)
      const known = before?.incarnation === incarnation ? before.ids.filter((other) => other !== id) : []
      // A deposed snapshotter of an older incarnation records nothing.
      if (before !== undefined && before.incarnation > incarnation) return new Set()
      const entry: VerifiedSnapshots = { token, incarnation, ids: [...known, id].slice(-2 * keep - 1) }
      const others = tokens.filter((other) => other.token !== token)
      try {
        await session.write(name, verifiedDocument.encode({ tokens: [...others, entry] }), document?.version, options)
        return new Set(entry.ids)
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
      }
    }
  }
}
