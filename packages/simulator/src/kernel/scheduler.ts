/**
 * Virtual time: one queue of events for the whole world. Runs them one by one, and lets every promise that an event has settled run to its
 * end before the next. Nothing in a run waits for anything else, so a run depends on its seed only.
 */
import type { Chance } from './chance.js'

/** Whose events these are: those of a paused process wait, those of a dead one never happen. */
export interface Runner {
  readonly index: number
  readonly state: 'running' | 'paused' | 'dead'
  /** Takes an event that came due while paused. */
  hold(run: () => void): void
}

export interface Scheduled {
  cancel(): void
}

class Event implements Scheduled {
  readonly atMs: number
  readonly tie: number
  readonly runner: Runner | undefined
  run: (() => void) | undefined

  constructor(atMs: number, tie: number, runner: Runner | undefined, run: () => void) {
    this.atMs = atMs
    this.tie = tie
    this.runner = runner
    this.run = run
  }

  cancel(): void {
    this.run = undefined
  }
}

/** Events between two turns of the real event loop, where the platform reports rejections that nobody handles. */
const eventsPerTurn = 512

export class Scheduler {
  nowMs = 0
  /** Events that were run. */
  count = 0
  /** A digest of which events ran when: two runs are the same only if this is. */
  digest = 0
  readonly #chance: Chance
  readonly #onThrow: (error: unknown) => void
  readonly #heap: Event[] = []

  constructor(chance: Chance, onThrow: (error: unknown) => void) {
    this.#chance = chance
    this.#onThrow = onThrow
  }

  /** Runs `run` after `delayMs`, as an event of `runner`, or of the world. Events of one moment run in an order of chance. */
  after(delayMs: number, runner: Runner | undefined, run: () => void): Scheduled {
    const event = new Event(this.nowMs + Math.max(0, delayMs), this.#chance.fraction(), runner, run)
    this.#push(event)
    return event
  }

  /** Runs events until `done` holds, or the time is `untilMs`, or nothing is left. */
  async run(untilMs: number, done: () => boolean = () => false): Promise<void> {
    await settled()
    while (!done()) {
      const event = this.#heap[0]
      if (event === undefined || event.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs)
        return
      }
      this.#pop()
      const { run, runner } = event
      if (run === undefined || runner?.state === 'dead') continue
      this.nowMs = event.atMs
      if (runner?.state === 'paused') {
        runner.hold(() => {
          if (event.run !== undefined) event.run()
        })
        continue
      }
      this.count += 1
      this.digest = mix(mix(this.digest, Math.floor(event.atMs * 4096) | 0), runner?.index ?? -1)
      try {
        run()
      } catch (error) {
        this.#onThrow(error)
      }
      await (this.count % eventsPerTurn === 0 ? turn() : settled())
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()!
    const size = heap.length
    if (size === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= size) break
      if (child + 1 < size && before(heap[child + 1]!, heap[child]!)) child += 1
      if (!before(heap[child]!, last)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie)
}

/**
 * Resolves when the microtask queue has run empty: called from a microtask, as it is here, a tick runs only after all of them, those
 * included that they add.
 */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve))
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** A 32-bit hash of two numbers. */
export function mix(hash: number, value: number): number {
  let h = Math.imul(hash ^ value, 0x9e3779b1)
  h ^= h >>> 15
  h = Math.imul(h, 0x85ebca6b)
  return h ^ (h >>> 13)
}
