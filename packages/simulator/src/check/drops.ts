/** S8: what a log may drop. Knows what snapshots cover; reads no log. */
import type { Offset } from '@kagami/core/contract'
import type { CopyState } from '@kagami/core/engine'
import type { Trace } from '../kernel/trace.js'
import type { StoredLog } from '../world/log-server.js'
import type { StoreServer } from '../world/store-server.js'

/** A token in the log. */
interface Inhabitant {
  readonly token: string
  readonly state: CopyState
  readonly openedAt: Offset
}

export class Drops {
  readonly #trace: Trace
  readonly #store: StoreServer
  readonly #keep: number

  constructor(trace: Trace, store: StoreServer, keep: number) {
    this.#trace = trace
    this.#store = store
    this.#keep = keep
  }

  /** What a live incarnation has counted may go only when two snapshots hold it, which someone has read back. */
  check(log: StoredLog, { token, state, openedAt }: Inhabitant, before: Offset, why: 'truncate' | 'release'): void {
    // Only an incarnation that has begun has anything to lose: the open frame of one that was given up may land late, in another token's log.
    if (state.epoch === 0 || state.deleted || before <= openedAt) return
    if (why === 'release') {
      this.#trace.violation('S8', `${log.address} is released though ${token} lives there`)
      return
    }
    const covering = this.#store
      .list(token)
      .filter(
        ({ meta, readBack }) =>
          readBack &&
          meta.log.identity === log.identity &&
          meta.incarnation === state.incarnation &&
          BigInt(meta.anchor.offset) >= before,
      )
    if (covering.length < this.#keep || covering.every((snapshot) => snapshot.damaged)) {
      this.#trace.violation(
        'S8',
        `${log.address} is truncated below ${before}, which ${covering.length} verified snapshots of ${token} cover`,
      )
    }
  }
}
