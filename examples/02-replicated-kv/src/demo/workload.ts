/**
 * The load, after YCSB's workload A: half reads, half updates, keys by a Zipfian distribution, at a steady rate. A client never waits
 * for one token alone: an operation that takes long goes on beside the next ones, so tokens without a primary don't stall the others.
 */
import { setMaxListeners } from 'node:events'
import { tokenNames, tokenOf } from '../service/partition.js'
import { httpSender, type Sender } from '../service/sender.js'
import { Client } from './client.js'
import type { DemoOptions } from './options.js'
import { randomStream, scramble, zipfian } from './random.js'
import type { Records } from './records.js'

/** An operation that takes longer goes on beside the next. */
const PATIENCE_MS = 50
/** Operations of one client that are under way at once, of as many tokens. */
const MAX_BESIDE = 8
/** Writes of one client that are under way at once while the keys are loaded. */
const LOAD_LANES = 6
const CONNECTIONS_PER_NODE = 256
/** One client in so many gives up on an answer that leaves a write's effect open; the others retry under the same number. */
const GIVES_UP_EVERY = 4

export class Workload {
  readonly #options: DemoOptions
  readonly #records: Records
  readonly #tokens: readonly string[]
  readonly #sender: Sender = httpSender({ connectionsPerHost: CONNECTIONS_PER_NODE })
  readonly #stopping = new AbortController()
  readonly #giveUp = new AbortController()
  readonly #clients: readonly Client[]
  #running: Promise<unknown> = Promise.resolve()

  constructor(options: DemoOptions, records: Records, urls: () => readonly string[]) {
    this.#options = options
    this.#records = records
    this.#tokens = tokenNames(options.tokens)
    // Every request that is under way listens, and takes its listener away again.
    setMaxListeners(0, this.#giveUp.signal)
    this.#clients = Array.from(
      { length: options.clients },
      (_, i) =>
        new Client({
          name: `c${i}`,
          tokens: this.#tokens,
          records,
          sender: this.#sender,
          urls,
          random: randomStream(options.seed * 7919 + i),
          givesUp: i % GIVES_UP_EVERY === GIVES_UP_EVERY - 1,
          signal: this.#giveUp.signal,
        }),
    )
  }

  /** Writes every key once, or as many as there is time for. */
  async load(withinMs: number): Promise<void> {
    const untilMs = performance.now() + withinMs
    const { keys } = this.#options
    const lanes = Array.from({ length: LOAD_LANES }, () => this.#clients).flat()
    await Promise.all(
      lanes.map(async (client, i) => {
        for (
          let key = i;
          key < keys && performance.now() < untilMs && !this.#giveUp.signal.aborted;
          key += lanes.length
        )
          await client.write(keyName(key))
      }),
    )
  }

  start(): void {
    const { rate, seed } = this.#options
    const pauseMs = (1000 * this.#clients.length) / rate
    this.#running = Promise.all(
      this.#clients.map((client, i) => this.#run(client, randomStream(seed + 104_729 * (i + 1)), pauseMs)),
    )
  }

  /** Resolves when every operation that has begun is settled; after `withinMs` the rest stays of unknown effect. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping.abort()
    const timer = setTimeout(() => this.#giveUp.abort(), withinMs)
    await this.#running
    clearTimeout(timer)
    this.#records.end(performance.now())
    this.#sender.close()
  }

  /** Ends at once. */
  abort(): void {
    this.#stopping.abort()
    this.#giveUp.abort()
    this.#sender.close()
  }

  async #run(client: Client, random: () => number, pauseMs: number): Promise<void> {
    const { keys } = this.#options
    const draw = zipfian(keys, random)
    const beside = new Map<string, Promise<void>>()
    let due = performance.now() + random() * pauseMs
    while (!this.#stopping.signal.aborted) {
      await sleep(due - performance.now())
      // A client that was held up does not catch up by a burst.
      due = Math.max(due, performance.now() - pauseMs) + pauseMs
      const key = keyName(scramble(draw(), keys))
      const token = tokenOf(key, this.#tokens)
      if (beside.has(token) || beside.size >= MAX_BESIDE) continue
      const work = random() < 0.5 ? client.read(key) : client.write(key)
      const settled = work.finally(() => beside.delete(token))
      beside.set(token, settled)
      await Promise.race([settled, sleep(PATIENCE_MS)])
    }
    await Promise.all(beside.values())
  }
}

function keyName(index: number): string {
  return `user${String(index).padStart(6, '0')}`
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
