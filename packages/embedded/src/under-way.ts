/** What was begun and has not ended, also where its caller has given it up: a stop waits for it, because it may still write. */
export class UnderWay {
  readonly #works = new Set<Promise<unknown>>()

  begin<T>(task: () => Promise<T>): Promise<T> {
    const work = task()
    this.#works.add(work)
    const over = (): void => void this.#works.delete(work)
    work.then(over, over)
    return work
  }

  /** Resolves when all of it has ended. Never rejects. */
  async settled(): Promise<void> {
    while (this.#works.size > 0) await Promise.allSettled(this.#works)
  }
}
