/**
 * The seams: everything that core needs of the world besides its adapters. Core has no clock, timer, chance or
 * console of its own, so a simulator can run it on a virtual clock, and a test can see what it measures.
 */

/** Time, as core sees it. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. For people and for `timeMs`; no decision rests on it. */
  now(): number
  /** Monotonic clock in milliseconds, from an arbitrary start. Decisions rest on this one. */
  monotonicMs(): number
  /**
   * Runs `callback` once, no sooner than `delayMs` from now, unless cancelled. Keeps the process alive until then only with
   * `keepsAlive`, as the deadline of a stop does.
   */
  timer(delayMs: number, callback: () => void, options?: { readonly keepsAlive?: boolean }): Timer
  /** Resolves after other work of this process that was already waiting has had its turn. */
  yield(): Promise<void>
}

export interface Timer {
  /** Idempotent, and harmless after the timer has fired. */
  cancel(): void
}

/** Chance. Terms and nonces come from here: two processes must not draw the same ones. */
export interface Random {
  /** A uniform 64-bit number. */
  uint64(): bigint
  /** A uniform number of [0, 1). For jitter only. */
  fraction(): number
}

/** A structured logger, as of pino and others. `fields` are plain JSON values, or errors under `error`. */
export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** A sink for measurements. Names are `kagami_…`, durations in milliseconds, sizes in bytes. */
export interface Metrics {
  count(name: string, value: number, labels?: Readonly<Record<string, string>>): void
  gauge(name: string, value: number, labels?: Readonly<Record<string, string>>): void
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void
}

export interface Seams {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly metrics: Metrics
}
