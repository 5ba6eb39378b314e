/** Lets a bounded number of tasks run at once, in the order they came; and one at a time. Knows nothing of what they do. */

/**
 * Node's thread pool has four threads by default: a task that waits for the disk in each of them would keep heartbeats
 * and reads waiting.
 */
export class Gate {
  readonly #width: number
  #running = 0
  readonly #waiting: (() => void)[] = []

  constructor(width: number) {
    this.#width = width
  }

  get idle(): boolean {
    return this.#running === 0
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#width) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    try {
      return await task()
    } finally {
      // The place is handed on, so that nobody slips in between.
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}
