/** The logs that are given to tokens, kept in step with the assignments, so that nobody has to look through all of them for each new token. */
export class LogsInUse {
  readonly #uses = new Map<string, number>()
  readonly #addresses = new Set<string>()

  /** What `allocate` must not give. Follows the changes. */
  get addresses(): ReadonlySet<string> {
    return this.#addresses
  }

  /** To how many tokens a log is given. More than one: see `LifecycleWork`. */
  uses(address: string): number {
    return this.#uses.get(address) ?? 0
  }

  add(address: string): void {
    this.#uses.set(address, this.uses(address) + 1)
    this.#addresses.add(address)
  }

  remove(address: string): void {
    const left = this.uses(address) - 1
    if (left > 0) this.#uses.set(address, left)
    else {
      this.#uses.delete(address)
      this.#addresses.delete(address)
    }
  }
}
