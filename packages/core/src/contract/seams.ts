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

/** A callback that is due: see `Clock.timer`. */
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
  /** What is of use only while somebody looks for a fault. */
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** What is in order, and seldom. */
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** What goes wrong and is tried again, or mends itself. */
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  /** What stays wrong until somebody acts: a copy that has failed, documents that are lost. */
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
}

/** A sink for measurements. Names are `kagami_…`, durations in milliseconds, sizes in bytes. */
export interface Metrics {
  /** Adds to a count that only grows. */
  count(name: string, value: number, labels?: Readonly<Record<string, string>>): void
  /** Replaces a value that rises and falls. */
  gauge(name: string, value: number, labels?: Readonly<Record<string, string>>): void
  /** Adds a value to a distribution: a duration or a size. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void
}

/** What a node needs of the world besides its adapters. `systemSeams` gives those of a real process, which hold where an application gives none. */
export interface Seams {
  /** Every deadline, pause and age goes by it. */
  readonly clock: Clock
  /** Terms, nonces and jitter are drawn from it. */
  readonly random: Random
  /** Where the node and its adapters tell what no call and no event can. */
  readonly logger: Logger
  /**
   * Where the node measures: `kagami_restore_ms`, `kagami_snapshot_ms`, `kagami_snapshot_failures` and `kagami_frames_ignored`, each labelled by
   * `token`.
   */
  readonly metrics: Metrics
}
