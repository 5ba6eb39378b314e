/**
 * What an application wants of a token that it names: creates it, claims it, or finds it as wanted. What may be changed of tokens that are there lies
 * in `spec-changes`.
 */
import { KagamiError } from '../contract/index.js'
import { generationAt, generationOf, isRemoved, type Assignment, type Spec } from '../engine/documents.js'
import { unknownToken } from './copy-errors.js'
import type { LogKeeper, SnapshotShelf } from './impatient.js'
import { findLeftBehind, type LeftBehind } from './log-history.js'
import type { TokenSettings } from './method-options.js'
import { SpecChanges, type SpecChangesContext } from './spec-changes.js'

export interface SpecsContext extends SpecChangesContext {
  readonly node: string
  readonly log: LogKeeper
  readonly store: SnapshotShelf
  /** Whether a node is alive, as last heard. */
  lives(node: string): boolean
  assignments(): Iterable<Assignment>
}

export class TokenSpecs extends SpecChanges {
  readonly #context: SpecsContext

  constructor(context: SpecsContext) {
    super(context)
    this.#context = context
  }

  /**
   * Creates the token, or claims it, or finds it as wanted. `asked` is what the same call was given when it asked the last time: what people have altered of that
   * creation since is no contradiction, and where they have removed it, it is not created once more.
   * @throws KAGAMI_TOKEN_OPTIONS, KAGAMI_TOKEN_OWNED, KAGAMI_TOKEN_EXISTS, KAGAMI_TOKEN_UNKNOWN when it was removed since
   */
  async ensure(token: string, wanted: TokenSettings, adopt: boolean, signal: AbortSignal, asked?: Spec): Promise<Spec> {
    const { node, clock } = this.#context
    const now = clock.now()
    let found: LeftBehind | undefined
    for (;;) {
      // Looking for what an unknown token left behind takes I/O, so it is done between two attempts to write.
      let lookFirst = false
      const spec = await this.writer.update(token, signal, (stands) => {
        const current = stands ?? this.lost(token)
        if (current !== undefined && !current.removed) return this.#claim(current, wanted, asked)
        if (current !== undefined && asked !== undefined && current.generation >= asked.generation)
          throw unknownToken(token)
        if (found === undefined) {
          lookFirst = true
          return undefined
        }
        const alive = this.#survivor(token, found, current, adopt)
        const before = Math.max(current?.generation ?? 0, this.assigned(token), generationOf(found.incarnation))
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

  #claim(current: Spec, wanted: TokenSettings, asked: Spec | undefined): Spec {
    const { node } = this.#context
    const { token } = current
    for (const key of ['primary', 'replicas', 'weight', 'failover', 'failback'] as const) {
      if (current[key] !== wanted[key] && current.generation !== asked?.generation) {
        const remedy = key === 'primary' ? 'which can not be altered' : 'or alter() it'
        throw new KagamiError(
          'KAGAMI_TOKEN_OPTIONS',
          `token '${token}' exists with ${key} ${JSON.stringify(current[key])}, not ${JSON.stringify(wanted[key])}; use the same, ${remedy}`,
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
