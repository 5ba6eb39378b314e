/**
 * What people want of tokens: creates, claims, alters, hands over, removes. Every change is safe to repeat, so an unknown outcome is settled by
 * reading again.
 */
import { KagamiError } from '../contract/index.js'
import { generationAt, generationOf, isLater, isRemoved, type Assignment, type Spec } from '../engine/documents.js'
import { unknownToken } from './copy-errors.js'
import type { LogKeeper, SnapshotShelf } from './impatient.js'
import { findLeftBehind, type LeftBehind } from './log-history.js'
import type { TokenSettings } from './method-options.js'
import { SpecWriter, type SpecWriterContext } from './spec-writer.js'

export interface SpecsContext extends SpecWriterContext {
  readonly node: string
  readonly log: LogKeeper
  readonly store: SnapshotShelf
  /** Whether a node is alive, as last heard. */
  lives(node: string): boolean
  assignment(token: string): Assignment | undefined
  assignments(): Iterable<Assignment>
}

export class TokenSpecs {
  readonly #context: SpecsContext
  readonly #writer: SpecWriter

  constructor(context: SpecsContext) {
    this.#context = context
    this.#writer = new SpecWriter(context)
  }

  /**
   * Creates the token, or claims it, or finds it as wanted.
   * @throws KAGAMI_TOKEN_OPTIONS, KAGAMI_TOKEN_OWNED, KAGAMI_TOKEN_EXISTS
   */
  async ensure(token: string, wanted: TokenSettings, adopt: boolean, signal: AbortSignal): Promise<Spec> {
    const { node, clock } = this.#context
    const now = clock.now()
    let found: LeftBehind | undefined
    for (;;) {
      // Looking for what an unknown token left behind takes I/O, so it is done between two attempts to write.
      let lookFirst = false
      const spec = await this.#writer.update(token, signal, (current) => {
        if (current !== undefined && !current.removed) return this.#claim(current, wanted)
        if (found === undefined) {
          lookFirst = true
          return undefined
        }
        const alive = this.#survivor(token, found, current, adopt)
        const before = Math.max(current?.generation ?? 0, this.#assigned(token), generationOf(found.incarnation))
        return {
          token,
          removedBefore: current?.generation ?? 0,
          generation: alive === null ? Math.max(before + 1, generationAt(now)) : generationOf(alive.incarnation),
          removed: false,
          ...wanted,
          owner: wanted.primary === 'self' ? node : null,
          // What is taken over may have its primary anywhere.
          handover: alive !== null && wanted.primary === 'self' ? this.#claimFor(node) : null,
          adopt: alive,
        }
      })
      if (spec !== undefined) return spec
      if (lookFirst) found = await this.#leftBehind(token, signal)
    }
  }

  /** @throws KAGAMI_TOKEN_UNKNOWN */
  async change(token: string, signal: AbortSignal, change: (spec: Spec) => Spec): Promise<Spec> {
    const spec = await this.#writer.update(token, signal, (current) => {
      if (current === undefined || current.removed) throw unknownToken(token)
      // What is wanted from now on is wanted of the creation that is there, though the document was older.
      return change({ ...current, generation: Math.max(current.generation, this.#assigned(token)) })
    })
    return spec as Spec
  }

  /**
   * Marks the token as removed: creation `generation`, or whichever there is. Leaves one that was created later alone.
   * @throws KAGAMI_TOKEN_UNKNOWN
   */
  async remove(token: string, generation: number | undefined, signal: AbortSignal): Promise<Spec> {
    const spec = await this.#writer.update(token, signal, (current) => {
      const latest = Math.max(current?.generation ?? 0, this.#assigned(token))
      if (current !== undefined && generation !== undefined && (current.removed || latest > generation)) return current
      // Where the spec is lost, or older than what is assigned, there is something to remove all the same.
      const over = current === undefined ? latest === 0 : current.removed && latest === current.generation
      if (over) throw unknownToken(token)
      return { ...(current ?? forgotten(token)), generation: latest, removed: true, handover: null }
    })
    return spec as Spec
  }

  /** Puts a spec back that the coordinator has lost, or of which it has only an earlier state, unless somebody did already. */
  async reinstate(spec: Spec, signal: AbortSignal): Promise<void> {
    await this.#writer.update(spec.token, signal, (current) => (isLater(spec, current) ? spec : current))
  }

  /** The creation that an assignment speaks of; 0: there is none. */
  #assigned(token: string): number {
    const assignment = this.#context.assignment(token)
    return assignment === undefined || assignment.phase === 'gone' ? 0 : generationOf(assignment.incarnation)
  }

  #claim(current: Spec, wanted: TokenSettings): Spec {
    const { node } = this.#context
    const { token } = current
    for (const key of ['primary', 'replicas', 'weight', 'failover', 'failback'] as const) {
      if (current[key] !== wanted[key]) {
        throw new KagamiError(
          'KAGAMI_TOKEN_OPTIONS',
          `token '${token}' exists with ${key} ${JSON.stringify(current[key])}, not ${JSON.stringify(wanted[key])}; use the same, or alter() it`,
          { details: { token, option: key, value: current[key] } },
        )
      }
    }
    if (current.primary === 'balanced' || current.owner === node) return current
    if (current.owner !== null && this.#context.lives(current.owner)) {
      throw new KagamiError(
        'KAGAMI_TOKEN_OWNED',
        `token '${token}' is owned by the live node '${current.owner}'; only its owner may claim it`,
        {
          details: { token, owner: current.owner },
        },
      )
    }
    return { ...current, owner: node, handover: this.#claimFor(node) }
  }

  #claimFor(node: string): Spec['handover'] {
    return { to: node, nonce: this.#context.random.uint64().toString(16) }
  }

  async #leftBehind(token: string, signal: AbortSignal): Promise<LeftBehind> {
    const { log, store } = this.#context
    const inUse = new Set<string>()
    // What this node remembers of the token itself is the very thing that was lost: its log must be found.
    for (const assignment of this.#context.assignments()) {
      // A log that is only to be opened for another may be this token's: documents that have gone back give it away once more.
      const opened = assignment.phase !== 'gone' && assignment.phase !== 'opening'
      if (opened && assignment.token !== token) inUse.add(assignment.log.address)
    }
    return findLeftBehind(token, inUse, { log, store, signal })
  }

  /**
   * A token that the coordinator doesn't know, or only an earlier creation of, may have left a log or snapshots: they must not be overwritten by accident.
   * @throws KAGAMI_TOKEN_EXISTS
   */
  #survivor(
    token: string,
    { alive, snapshots, unreadable }: LeftBehind,
    removed: Spec | undefined,
    adopt: boolean,
  ): LeftBehind['alive'] {
    // Of a token that was removed, a damaged log is what it has left. Else it may hold what nobody knows of.
    if (unreadable !== undefined && removed === undefined) throw unreadable
    // What was removed may still be on its way out.
    if (alive === null || (removed !== undefined && isRemoved(removed, alive.incarnation))) return null
    if (adopt) return alive
    const { address } = alive.log
    throw new KagamiError(
      'KAGAMI_TOKEN_EXISTS',
      `the coordinator does not know token '${token}', but ${snapshots} snapshots and the log ${address} of it exist; pass adopt: true to take them over`,
      { details: { token, snapshots, address } },
    )
  }
}

/** What stands for the options of a token of which only the assignment is left. */
function forgotten(token: string): Omit<Spec, 'generation' | 'removed'> {
  return {
    token,
    removedBefore: 0,
    replicas: 0,
    weight: 1,
    primary: 'balanced',
    owner: null,
    failover: 'promote',
    failback: false,
    handover: null,
    adopt: null,
  }
}
