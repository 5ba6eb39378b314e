/**
 * The state machine of one copy: made, replaced by a restored one, and given each entry that counts, in order. What an entry of this node's own came to
 * is told to whoever waits for it; what is to happen when `apply` throws is the copy's business.
 */
import type { KagamiError, Position, StateMachine } from '../contract/index.js'
import { decodeEntries, type DataFrame } from '../engine/frame.js'
import { applyFailed, noMachine } from './copy-errors.js'
import type { Settings } from './options.js'
import { settle, type PendingEntry } from './replicator.js'

/** The entry that `apply` threw at. It is committed all the same. */
export interface ApplyFailure {
  readonly error: KagamiError
  readonly position: Position
  /** Which of the frame's entries it is. */
  readonly at: number
}

export class Applier<R, C> {
  readonly #token: string
  readonly #settings: Pick<Settings<R, C>, 'codec' | 'stateMachine'>
  #machine: StateMachine<R, C> | undefined

  constructor(token: string, settings: Pick<Settings<R, C>, 'codec' | 'stateMachine'>) {
    this.#token = token
    this.#settings = settings
  }

  /** Undefined until the copy was restored, or its log opened. */
  get machine(): StateMachine<R, C> | undefined {
    return this.#machine
  }

  /** @throws KAGAMI_SNAPSHOT_FAILED when the application can't make one */
  make(): StateMachine<R, C> {
    try {
      return this.#settings.stateMachine(this.#token)
    } catch (cause) {
      throw noMachine(this.#token, cause)
    }
  }

  use(machine: StateMachine<R, C>): void {
    this.#machine = machine
  }

  /** Applies a frame's entries, up to the first that `apply` throws at. `own` are those who wait for them, in the same order; none where the frame is another's. */
  apply(frame: DataFrame, level: number, own: readonly PendingEntry[]): ApplyFailure | undefined {
    const token = this.#token
    const machine = this.#machine as StateMachine<R, C>
    const { incarnation, firstIndex, timeMs } = frame
    for (const [at, bytes] of decodeEntries(frame.body, frame.count).entries()) {
      const position = { incarnation, index: firstIndex + at }
      try {
        const value = this.#settings.codec.decode(bytes)
        const result = machine.apply({ token, position, value, timeMs, level })
        if (result instanceof Promise) {
          result.catch(() => undefined)
          throw new TypeError('apply returned a promise; it must be synchronous')
        }
        const waiting = own[at]
        if (waiting !== undefined) settle(waiting, { position, result })
      } catch (cause) {
        return { error: applyFailed(token, position, cause), position, at }
      }
    }
    return undefined
  }
}
