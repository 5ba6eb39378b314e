/**
 * Tells of a trouble that lasts. What is tried several times a second may fail for a moment, which is no news; what fails again and again is
 * told once, and then not before it has passed.
 */
const lastsMs = 2_000

export class LastingTrouble {
  readonly #tell: (error: unknown) => void
  /** When it failed first since it last succeeded. */
  #sinceMs: number | undefined
  #told = false

  constructor(tell: (error: unknown) => void) {
    this.#tell = tell
  }

  failed(error: unknown): void {
    this.#sinceMs ??= performance.now()
    if (this.#told || performance.now() - this.#sinceMs < lastsMs) return
    this.#told = true
    this.#tell(error)
  }

  passed(): void {
    this.#sinceMs = undefined
    this.#told = false
  }
}
