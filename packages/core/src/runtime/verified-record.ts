/**
 * Which snapshots were read back and found whole, kept with the coordinator, so that the next snapshotter knows. Losing the record is harmless: nothing is
 * truncated until as many new ones are verified. So a damaged one is begun anew.
 */
import { isKagamiError, type CallOptions, type Document, type Logger, type Session } from '../contract/index.js'
import { bucketOf, verifiedDocument, type VerifiedSnapshots } from '../engine/documents.js'

export class VerifiedRecord {
  readonly #session: () => Session
  readonly #logger: Logger

  /** `session` gives the present session, or throws KAGAMI_SESSION_LOST. */
  constructor(session: () => Session, logger: Logger) {
    this.#session = session
    this.#logger = logger
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
      const tokens = this.#contentOf(document)
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

  #contentOf(document: Document | undefined): readonly VerifiedSnapshots[] {
    if (document === undefined) return []
    const { name, bytes } = document
    try {
      return verifiedDocument.decode(bytes, name).tokens
    } catch (error) {
      if (!isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) throw error
      this.#logger.warn(
        `the document ${name} can't be read, and is written anew: its tokens' logs grow until new snapshots are verified`,
        { error },
      )
      return []
    }
  }
}
