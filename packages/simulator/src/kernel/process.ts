/**
 * One run of a node, as the operating system sees it: it runs, is stopped for a while, or is dead. Its timers and the answers to its calls are its
 * events; when it is dead they never happen, so its code stays where it waits, for ever.
 */
import type { Clock, Logger, Metrics, Seams, Timer } from '@kagami/core/contract'
import type { Chance } from './chance.js'
import type { Runner, Scheduled, Scheduler } from './scheduler.js'
import type { Trace } from './trace.js'

/** The time of day when a run begins: a minute into 2026, so that creations of tokens, which are counted in seconds since then, have short numbers. */
const BEGINNING_MS = Date.UTC(2026, 0, 1, 0, 1)

/** What a process can be cut off from. */
export type Service = 'log' | 'coordinator' | 'store'

export interface ProcessOptions {
  readonly index: number
  readonly node: string
  readonly run: number
  readonly scheduler: Scheduler
  readonly chance: Chance
  readonly trace: Trace
}

export class SimProcess implements Runner {
  readonly index: number
  readonly node: string
  /** The node id and which run of it this is, for people. */
  readonly label: string
  readonly seams: Seams
  readonly #options: ProcessOptions
  readonly #cuts = new Map<Service, number>()
  readonly #listeners = new Set<() => void>()
  #state: 'running' | 'paused' | 'dead' = 'running'
  #held: (() => void)[] = []

  constructor(options: ProcessOptions) {
    this.#options = options
    this.index = options.index
    this.node = options.node
    this.label = `${options.node}.${options.run}`
    this.seams = {
      clock: this.#clock(),
      random: options.chance,
      logger: this.#logger(),
      metrics: noMetrics,
    }
  }

  get state(): 'running' | 'paused' | 'dead' {
    return this.#state
  }

  after(delayMs: number, run: () => void): Scheduled {
    return this.#options.scheduler.after(delayMs, this, run)
  }

  hold(run: () => void): void {
    this.#held.push(run)
  }

  /** As by SIGKILL. */
  kill(): void {
    this.#state = 'dead'
    this.#held = []
    this.#changed()
  }

  /** As by SIGSTOP: what comes due waits. */
  pause(): void {
    if (this.#state !== 'running') return
    this.#state = 'paused'
    this.#changed()
  }

  /** As by SIGCONT: what came due happens now, in any order. */
  resume(): void {
    if (this.#state !== 'paused') return
    this.#state = 'running'
    const held = this.#held
    this.#held = []
    for (const run of held) this.after(this.#options.chance.between(0, 2), run)
    this.#changed()
  }

  reaches(service: Service): boolean {
    return this.#state === 'running' && !this.#cuts.has(service)
  }

  isCutFrom(service: Service): boolean {
    return this.#cuts.has(service)
  }

  /** Cuts the process off until the returned function is called. */
  cut(service: Service): () => void {
    this.#cuts.set(service, (this.#cuts.get(service) ?? 0) + 1)
    this.#changed()
    return () => {
      const left = (this.#cuts.get(service) ?? 1) - 1
      if (left === 0) this.#cuts.delete(service)
      else this.#cuts.set(service, left)
      this.#changed()
    }
  }

  /** Calls `listener` whenever what the process reaches may have changed; gives what ends that. */
  onReach(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #clock(): Clock {
    const { scheduler, chance } = this.#options
    // Wall clocks disagree by seconds, and no monotonic clock starts where another does.
    const skewMs = chance.between(-5000, 5000)
    const startMs = chance.between(0, 1e6)
    return {
      now: () => Math.floor(BEGINNING_MS + skewMs + scheduler.nowMs),
      monotonicMs: () => startMs + scheduler.nowMs,
      timer: (delayMs, callback): Timer => this.after(delayMs + chance.between(0, 0.5), callback),
      yield: () => new Promise((resolve) => this.after(chance.between(0, 0.05), resolve)),
    }
  }

  #logger(): Logger {
    const { trace } = this.#options
    const write = (level: string, message: string, fields: Readonly<Record<string, unknown>> | undefined): void => {
      const error = fields?.['error']
      trace.log(this.label, level, message, error)
    }
    return {
      debug: () => undefined,
      info: () => undefined,
      warn: (message, fields) => write('warn', message, fields),
      error: (message, fields) => write('error', message, fields),
    }
  }
}

const noMetrics: Metrics = { count: () => undefined, gauge: () => undefined, observe: () => undefined }
