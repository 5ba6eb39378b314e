/** A look at something that many ask for at once. Whoever asks gets what was seen after they asked, and no two looks run side by side. */
export class SharedLook<T> {
  readonly #look: () => Promise<T>
  #running: Promise<T> | undefined
  #next: Promise<T> | undefined

  constructor(look: () => Promise<T>) {
    this.#look = look
  }

  /** The look that is under way, which may have begun before. */
  get running(): Promise<T> | undefined {
    return this.#running
  }

  /** Those who come during a look share the next one, also in the moment when it has ended and the next has not begun. */
  ask(): Promise<T> {
    if (this.#next !== undefined) return this.#next
    if (this.#running === undefined) return this.#begin()
    this.#next = this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  #begin(): Promise<T> {
    this.#next = undefined
    const look = this.#look().finally(() => {
      if (this.#running === look) this.#running = undefined
    })
    this.#running = look
    return look
  }
}
