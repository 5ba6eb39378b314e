/** Which nodes reach a server. Knows nothing of what the server does; cuts are counted, so they may overlap. */
import { Bell } from './waiting.js'

/** Ends a fault that was begun. Idempotent. */
export type Mend = () => void

export class Reach {
  /** Rings at every change. */
  readonly changed = new Bell()
  readonly #listeners = new Set<() => void>()
  readonly #cuts = new Map<string, number>()
  #outages = 0

  /** Whether the server is up at all. */
  get up(): boolean {
    return this.#outages === 0
  }

  cutOff(node: string): boolean {
    return this.#cuts.has(node)
  }

  reaches(node: string): boolean {
    return this.up && !this.cutOff(node)
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener)
  }

  /** Cuts one node off, or all of them: then the server is down. */
  cut(node: string | undefined): Mend {
    this.#add(node, 1)
    let mended = false
    return () => {
      if (mended) return
      mended = true
      this.#add(node, -1)
    }
  }

  #add(node: string | undefined, by: number): void {
    if (node === undefined) this.#outages += by
    else {
      const cuts = (this.#cuts.get(node) ?? 0) + by
      if (cuts === 0) this.#cuts.delete(node)
      else this.#cuts.set(node, cuts)
    }
    for (const listener of this.#listeners) listener()
    this.changed.ring()
  }
}
