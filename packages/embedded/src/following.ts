/** One watch's view of some documents: what they are, and whether it is time to look again. */
import type { Document } from '@kagami/core/contract'
import { Pulse } from './pulse.js'

/** How often everything is looked at, whatever was told: a message may be lost, and a folder may be changed by hand. */
const thoroughMs = 400

type Found = ReadonlyMap<string, Document>

export interface FollowingParts {
  /** Everything, as of now. */
  readonly all: () => Promise<Found>
  /** What somebody has told of, and where `thorough` what the folders themselves tell of. */
  readonly changed: (thorough: boolean) => Promise<Found>
  readonly ended: () => void
}

export class Following {
  /** Beats when one of the documents may have changed. */
  readonly changes = new Pulse()
  readonly #prefix: string
  readonly #parts: FollowingParts
  /** When everything was looked at last. */
  #thoroughAtMs: number | undefined

  constructor(prefix: string, parts: FollowingParts) {
    this.#prefix = prefix
    this.#parts = parts
  }

  /** All of them, by name; at first as of now. One that has not changed is the same object as before. */
  async look(): Promise<Found> {
    const nowMs = performance.now()
    if (this.#thoroughAtMs === undefined) {
      const found = await this.#parts.all()
      // Not before it has succeeded: what was never seen whole can't be brought up to date.
      this.#thoroughAtMs = nowMs
      return found
    }
    const thorough = nowMs - this.#thoroughAtMs > thoroughMs
    if (thorough) this.#thoroughAtMs = nowMs
    return this.#parts.changed(thorough)
  }

  told(name: string): void {
    if (name.startsWith(this.#prefix)) this.changes.beat()
  }

  end(): void {
    this.#parts.ended()
  }
}
