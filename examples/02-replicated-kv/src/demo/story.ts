/**
 * What the demonstration does, in order: nodes start, clients write, nodes are killed and replaced, and in the end everything is
 * compared. Says what it sees; judges nothing.
 */
import { tokenNames } from '../service/partition.js'
import { collectEvidence } from './evidence.js'
import { Observer } from './observer.js'
import type { DemoOptions } from './options.js'
import { Processes } from './processes.js'
import { Records } from './records.js'
import type { Screen } from './screen.js'
import { noteAt } from './screen.js'
import type { Evidence } from './verdict.js'
import { thousands, type NodeColumn, type Picture } from './view.js'
import { Workload } from './workload.js'

const START_WITHIN_MS = 30_000
const PROMOTE_WITHIN_MS = 20_000
const REBUILD_WITHIN_MS = 40_000
const SETTLE_WITHIN_MS = 20_000
/** The part of the time that writing every key once may take. */
const LOAD_SHARE = 0.2
/** Kept for the comparison and the end. */
const EPILOGUE_MS = 3_000
const LEAST_BETWEEN_MS = 500
const SHOW_EVERY_MS = 100
const MAX_NOTES = 100

export class Story {
  readonly #options: DemoOptions
  readonly #screen: Screen
  readonly #signal: AbortSignal
  readonly #tokens: readonly string[]
  readonly #copiesPerToken: number
  readonly #records = new Records()
  readonly #processes: Processes
  readonly #observer: Observer
  readonly #workload: Workload
  readonly #columns: { id: string; state: NodeColumn['state'] }[] = []
  readonly #notes: string[] = []
  readonly #complaints: string[] = []
  readonly #begunMs = performance.now()
  readonly #affected = new Set<string>()
  readonly #rates = new Rates()
  #phase = 'starting'
  #started = 0
  #kills = 0
  #promotions = 0
  #failoverMs: number | null = 0
  #crash: Error | undefined

  constructor(options: DemoOptions, screen: Screen, signal: AbortSignal) {
    this.#options = options
    this.#screen = screen
    this.#signal = signal
    this.#tokens = tokenNames(options.tokens)
    this.#copiesPerToken = Math.min(options.nodes, 1 + options.replicas)
    this.#processes = new Processes({
      tokens: options.tokens,
      replicas: options.replicas,
      onSaid: (node, said) => this.#observer.said(node, said),
      onCrash: (error) => {
        this.#crash ??= error
        this.#complaints.push(error.message)
      },
    })
    this.#observer = new Observer(() => this.#processes.nodes)
    this.#workload = new Workload(options, this.#records, () => this.#processes.nodes.map(({ url }) => url))
  }

  /** @throws the signal's reason when it aborts; nothing is left then, nor after any other end */
  async run(): Promise<Evidence> {
    const showing = setInterval(() => this.#screen.show(this.#picture()), SHOW_EVERY_MS)
    const aborted = new Promise<never>((_, reject) => {
      const end = (): void => reject(this.#signal.reason as Error)
      if (this.#signal.aborted) end()
      else this.#signal.addEventListener('abort', end, { once: true })
    })
    aborted.catch(() => undefined)
    try {
      return await Promise.race([this.#tell(), aborted])
    } finally {
      clearInterval(showing)
      this.#workload.abort()
      await this.#processes.destroy()
      await this.#observer.stop()
      this.#screen.show(this.#picture())
      this.#screen.end()
    }
  }

  async #tell(): Promise<Evidence> {
    const { nodes, seconds, kills } = this.#options
    this.#observer.start()
    await Promise.all(Array.from({ length: nodes }, () => this.#startNode()))
    await this.#settled('the nodes did not settle', START_WITHIN_MS)
    this.#note(`${nodes} nodes hold ${this.#tokens.length} tokens, ${this.#copiesPerToken} copies of each`)
    this.#phase = 'loading'
    await this.#workload.load(seconds * 1000 * LOAD_SHARE)
    this.#note(`${thousands(this.#records.acknowledged)} keys written; the clients begin`)
    this.#phase = 'running'
    this.#workload.start()
    const runMs = Math.max(1000, seconds * 1000 - EPILOGUE_MS - this.#elapsedMs)
    const fromMs = this.#elapsedMs
    for (let i = 0; i < kills; i++) {
      // The first comes early: after a kill there is more to see than before.
      await this.#pauseUntil(Math.max(fromMs + (runMs * (i + 0.6)) / (kills + 1), this.#elapsedMs + LEAST_BETWEEN_MS))
      await this.#killOne()
    }
    await this.#pauseUntil(Math.max(fromMs + runMs, this.#elapsedMs + LEAST_BETWEEN_MS))
    return this.#conclude()
  }

  async #startNode(): Promise<string> {
    const id = nodeName(this.#started++)
    const column = { id, state: 'starting' as NodeColumn['state'] }
    this.#columns.push(column)
    await this.#processes.start(id)
    column.state = 'up'
    return id
  }

  async #killOne(): Promise<void> {
    const victim = this.#chooseVictim()
    if (victim === undefined) return void this.#complaints.push('no node held a primary that could be killed')
    const orphans = this.#observer.primariesOf(victim)
    const epochs = new Map(orphans.map((token) => [token, this.#observer.copy(victim, token)?.epoch ?? 0]))
    const column = this.#columns.find(({ id }) => id === victim)
    const atMs = this.#processes.kill(victim)
    if (column !== undefined) column.state = 'killed'
    this.#kills += 1
    this.#phase = `node ${victim} is dead`
    this.#note(`kill -9 of node ${victim}, the primary of ${orphans.length} tokens`)
    for (const token of orphans) this.#affected.add(token)

    const promoted = (token: string): number | undefined =>
      this.#observer.promotions.find(
        (promotion) =>
          promotion.token === token && promotion.epoch > (epochs.get(token) ?? 0) && promotion.atMs >= atMs,
      )?.atMs
    const all = await this.#until(() => orphans.every((token) => promoted(token) !== undefined), PROMOTE_WITHIN_MS)
    const took = orphans
      .map(promoted)
      .filter((time) => time !== undefined)
      .map((time) => time - atMs)
    this.#promotions += took.length
    if (!all) this.#failoverMs = null
    if (this.#failoverMs !== null) this.#failoverMs = Math.max(this.#failoverMs, ...took)
    this.#note(
      `${took.length} of ${orphans.length} promoted elsewhere, ${Math.min(...took)} to ${Math.max(...took)} ms after the kill`,
    )

    this.#phase = 'a fresh node joins'
    const [restoredBefore, rebuildMs] = [this.#observer.restored, performance.now()]
    const fresh = await this.#startNode()
    this.#note(`node ${fresh} started`)
    this.#phase = 'rebuilding copies'
    await this.#settled('the copies were not rebuilt', REBUILD_WITHIN_MS)
    const { primaries, copies } = this.#observer.spread()
    const restored = this.#observer.restored - restoredBefore
    const tookS = ((performance.now() - rebuildMs) / 1000).toFixed(1)
    this.#note(
      `${restored} copies rebuilt in ${tookS} s; per node ${range(primaries)} primaries, ${range(copies)} copies`,
    )
    this.#phase = 'running'
  }

  /** The node with the most primaries; of several the controller, whose loss is the hardest. */
  #chooseVictim(): string | undefined {
    const up = new Set(this.#processes.nodes.map(({ id }) => id))
    const ranked = this.#observer.statuses
      .filter(({ node }) => up.has(node))
      .map(({ node, controller }) => ({ node, primaries: this.#observer.primariesOf(node).length, controller }))
      .filter(({ primaries }) => primaries > 0)
      .sort((a, b) => b.primaries - a.primaries || Number(b.controller) - Number(a.controller))
    return ranked[0]?.node
  }

  async #conclude(): Promise<Evidence> {
    this.#phase = 'comparing'
    await this.#workload.stop(SETTLE_WITHIN_MS)
    await this.#settled('the copies did not catch up', SETTLE_WITHIN_MS)
    const spread = this.#observer.spread()
    const { copies, complaints } = await collectEvidence(
      this.#observer,
      this.#processes.nodes,
      this.#tokens,
      this.#signal,
    )
    this.#note(
      `${copies.length} ledgers of ${this.#processes.nodes.length} nodes compared with ${thousands(this.#records.writes.length)} writes`,
    )
    this.#phase = 'stopping'
    const stubborn = await this.#processes.stop()
    this.#phase = 'stopped'
    return {
      writes: this.#records.writes,
      staleReads: this.#records.staleReads,
      copies,
      tokens: this.#tokens,
      copiesPerToken: this.#copiesPerToken,
      killsWanted: this.#options.kills,
      kills: this.#kills,
      promotions: this.#promotions,
      failoverMs: this.#kills === 0 ? null : this.#failoverMs,
      longestGapMs: this.#records.longestGapMs(this.#affected.size > 0 ? this.#affected : this.#tokens),
      spread,
      complaints: [
        ...this.#complaints,
        ...this.#observer.failures,
        ...complaints,
        ...stubborn.map((id) => `node ${id} did not stop by itself`),
      ],
    }
  }

  async #settled(complaint: string, withinMs: number): Promise<void> {
    const settled = await this.#until(() => this.#observer.isSettled(this.#tokens, this.#copiesPerToken), withinMs)
    if (!settled) this.#complaints.push(`${complaint} within ${withinMs / 1000} s`)
  }

  #until(condition: () => boolean, withinMs: number): Promise<boolean> {
    return this.#observer.until(
      () => {
        if (this.#crash !== undefined) throw this.#crash
        return condition()
      },
      withinMs,
      this.#signal,
    )
  }

  async #pauseUntil(atMs: number): Promise<void> {
    await this.#until(() => this.#elapsedMs >= atMs, Math.max(0, atMs - this.#elapsedMs))
  }

  get #elapsedMs(): number {
    return performance.now() - this.#begunMs
  }

  #note(text: string): void {
    const line = noteAt(this.#elapsedMs / 1000, text)
    this.#notes.push(line)
    if (this.#notes.length > MAX_NOTES) this.#notes.shift()
    this.#screen.note(line)
  }

  #picture(): Picture {
    const columns = this.#columns
    const controllers = new Set(this.#observer.statuses.filter(({ controller }) => controller).map(({ node }) => node))
    this.#rates.look(this.#elapsedMs, this.#tokens, (token) => this.#records.operations(token))
    const tokens = this.#tokens.map((name) => {
      const copies = columns.map(({ id, state }) => (state === 'up' ? this.#observer.copy(id, name) : undefined))
      return {
        name,
        epoch: Math.max(0, ...copies.map((copy) => copy?.epoch ?? 0)),
        operationsPerSecond: this.#rates.of(name),
        snapshots: this.#observer.snapshots(name),
        cells: copies.map((copy) =>
          copy === undefined
            ? undefined
            : { role: copy.role, lag: copy.lag, restoring: copy.phase === 'restoring' || copy.phase === 'opening' },
        ),
      }
    })
    return {
      elapsedS: this.#elapsedMs / 1000,
      phase: this.#phase,
      operationsPerSecond: tokens.reduce((sum, { operationsPerSecond }) => sum + operationsPerSecond, 0),
      acknowledged: this.#records.acknowledged,
      nodes: columns.map(({ id, state }) => ({ id, state, controller: state === 'up' && controllers.has(id) })),
      tokens,
      notes: this.#notes,
    }
  }
}

/** Operations per second, over about the last second. */
class Rates {
  #atMs = 0
  #before = new Map<string, number>()
  #rates = new Map<string, number>()

  look(nowMs: number, tokens: readonly string[], operations: (token: string) => number): void {
    const seconds = (nowMs - this.#atMs) / 1000
    if (seconds < 1) return
    for (const token of tokens) {
      const count = operations(token)
      this.#rates.set(token, Math.round((count - (this.#before.get(token) ?? 0)) / seconds))
      this.#before.set(token, count)
    }
    this.#atMs = nowMs
  }

  of(token: string): number {
    return this.#rates.get(token) ?? 0
  }
}

/** `a` to `z`, then `n27` and on. */
function nodeName(index: number): string {
  return index < 26 ? String.fromCharCode(97 + index) : `n${index + 1}`
}

function range({ min, max }: { readonly min: number; readonly max: number }): string {
  return min === max ? String(min) : `${min} to ${max}`
}
