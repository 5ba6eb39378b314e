/**
 * The way between one process and the servers: requests and answers that take time, get lost, or are cut off. Knows nothing of
 * what is asked.
 */
import type { Chance } from '../kernel/chance.js'
import type { Service, SimProcess } from '../kernel/process.js'
import type { Scheduler } from '../kernel/scheduler.js'
import type { Faults } from '../kernel/faults.js'
import type { Trace } from '../kernel/trace.js'

/** What every part of the world shares. */
export interface World {
  readonly scheduler: Scheduler
  readonly chance: Chance
  readonly faults: Faults
  readonly trace: Trace
}

export interface RequestOptions {
  readonly to: Service
  readonly signal: AbortSignal
  /** Extra time on the way there and back. */
  readonly requestMs?: number
  readonly answerMs?: number
  /** Fails without having been carried out. */
  readonly refused?: boolean
  /** Is carried out, but the caller is told that it failed. */
  readonly unanswered?: boolean
}

/** Ends what one adapter, or one handle of it, has under way. */
export class Scope {
  readonly #pending = new Set<(error: unknown) => void>()
  #over: unknown

  get isOver(): boolean {
    return this.#over !== undefined
  }

  throwIfOver(): void {
    if (this.#over !== undefined) throw this.#over
  }

  end(error: unknown): void {
    if (this.#over !== undefined) return
    this.#over = error
    for (const reject of [...this.#pending]) reject(error)
    this.#pending.clear()
  }

  add(reject: (error: unknown) => void): void {
    this.#pending.add(reject)
  }

  delete(reject: (error: unknown) => void): void {
    this.#pending.delete(reject)
  }
}

/** A promise that settles once: by the world, the caller's signal or the end of its scope. */
export class Call<T> {
  readonly promise: Promise<T>
  settled = false
  #resolve!: (value: T) => void
  #reject!: (error: unknown) => void
  readonly #signal: AbortSignal
  readonly #scope: Scope
  readonly #aborted: () => void

  constructor(signal: AbortSignal, scope: Scope) {
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#signal = signal
    this.#scope = scope
    this.#aborted = () => this.reject(signal.reason)
    signal.addEventListener('abort', this.#aborted)
    scope.add(this.reject)
  }

  resolve = (value: T): void => {
    if (this.#forget()) this.#resolve(value)
  }

  reject = (error: unknown): void => {
    if (this.#forget()) this.#reject(error)
  }

  #forget(): boolean {
    if (this.settled) return false
    this.settled = true
    this.#signal.removeEventListener('abort', this.#aborted)
    this.#scope.delete(this.reject)
    return true
  }
}

export class Wire {
  readonly world: World
  readonly process: SimProcess
  readonly #unavailable: () => Error

  constructor(world: World, process: SimProcess, unavailable: () => Error) {
    this.world = world
    this.process = process
    this.#unavailable = unavailable
  }

  /** A usual delay of one way. */
  wayMs(): number {
    return this.world.chance.between(0.1, 1)
  }

  /**
   * Asks a server. `serve` runs there, once at most, also when the caller has gone; what it throws is the answer. Not by async functions, so
   * that a caller that dies leaves nothing behind.
   */
  async request<T>(serve: () => T, scope: Scope, options: RequestOptions): Promise<T> {
    options.signal.throwIfAborted()
    scope.throwIfOver()
    const { world, process } = this
    const { to, signal } = options
    const call = new Call<T>(signal, scope)
    const fail = (delayMs: number): void => void process.after(delayMs, () => call.reject(this.#unavailable()))
    if (!process.reaches(to) || options.refused) {
      fail(process.reaches(to) ? this.wayMs() : world.chance.between(20, 400))
      return call.promise
    }
    world.scheduler.after(this.wayMs() + (options.requestMs ?? 0), undefined, () => {
      if (process.isCutFrom(to)) return fail(world.chance.between(20, 400))
      let settle: () => void
      try {
        const value = serve()
        settle = () => call.resolve(value)
      } catch (error) {
        settle = () => call.reject(error)
      }
      const lost = options.unanswered === true
      process.after(this.wayMs() + (options.answerMs ?? 0), () => {
        if (lost || process.isCutFrom(to)) call.reject(this.#unavailable())
        else settle()
      })
    })
    return call.promise
  }
}
