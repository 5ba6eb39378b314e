/**
 * What people want of tokens, as documents: creates, claims, alters, hands over, removes. Every change is a compare-and-set
 * that is safe to repeat, so an unknown outcome is settled by reading again.
 */
import {
  isKagamiError,
  KagamiError,
  type CommitLog,
  type Offset,
  type Seams,
  type Session,
  type SnapshotStore,
} from '../contract/index.js'
import { bucketOf, specDocument, type Assignment, type Spec } from '../engine/documents.js'
import { decodeFrame } from '../engine/frame.js'
import { newestFirst } from '../engine/snapshot-policy.js'
import { unknownToken } from './copy-errors.js'
import type { TokenSettings } from './options.js'
import { backoffMs, sleep } from './waiting.js'

export interface SpecsContext {
  readonly node: string
  readonly log: CommitLog
  readonly store: SnapshotStore
  readonly clock: Seams['clock']
  readonly random: Seams['random']
  session(): Session
  /** Whether a node is alive, as last heard. */
  lives(node: string): boolean
  assignments(): Iterable<Assignment>
}

export class TokenSpecs {
  readonly #context: SpecsContext

  constructor(context: SpecsContext) {
    this.#context = context
  }

  /**
   * Creates the token, or claims it, or finds it as wanted.
   * @throws KAGAMI_TOKEN_OPTIONS, KAGAMI_TOKEN_OWNED, KAGAMI_TOKEN_EXISTS
   */
  async ensure(token: string, wanted: TokenSettings, adopt: boolean, signal: AbortSignal): Promise<Spec> {
    const { node } = this.#context
    let found: Spec['adopt'] | undefined
    for (;;) {
      // Looking for what an unknown token left behind takes I/O, so it is done between two attempts to write.
      let lookFirst = false
      const spec = await this.#update(token, signal, (current) => {
        if (current === undefined && found === undefined) {
          lookFirst = true
          return undefined
        }
        if (current === undefined || current.removed) {
          return {
            token,
            generation: (current?.generation ?? 0) + 1,
            removed: false,
            ...wanted,
            owner: wanted.primary === 'self' ? node : null,
            handover: null,
            adopt: current === undefined ? (found ?? null) : null,
          }
        }
        return this.#claim(current, wanted)
      })
      if (spec !== undefined) return spec
      if (lookFirst) found = await this.#leftBehind(token, adopt, signal)
    }
  }

  /** @throws KAGAMI_TOKEN_UNKNOWN */
  async change(token: string, signal: AbortSignal, change: (spec: Spec) => Spec): Promise<Spec> {
    const spec = await this.#update(token, signal, (current) => {
      if (current === undefined || current.removed) throw unknownToken(token)
      return change(current)
    })
    return spec as Spec
  }

  /** Puts a spec back that the coordinator has lost, unless somebody did already. */
  async reinstate(spec: Spec, signal: AbortSignal): Promise<void> {
    await this.#update(spec.token, signal, (current) => current ?? spec)
  }

  #claim(current: Spec, wanted: TokenSettings): Spec {
    const { node, random } = this.#context
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
    return { ...current, owner: node, handover: { to: node, nonce: random.uint64().toString(16) } }
  }

  /**
   * A token that the coordinator doesn't know may have left a log or snapshots: they must not be overwritten by accident.
   * Null: there is nothing.
   */
  async #leftBehind(token: string, adopt: boolean, signal: AbortSignal): Promise<Spec['adopt']> {
    const { log, store } = this.#context
    const snapshots = newestFirst(await store.list(token, { signal }))
    const inUse = new Set<string>()
    // What this node remembers of the token itself is the very thing that was lost: its log must be found.
    for (const assignment of this.#context.assignments())
      if (assignment.phase !== 'gone' && assignment.token !== token) inUse.add(assignment.log.address)
    let best: Spec['adopt'] = null
    for (const address of await log.find(token, inUse, { signal })) {
      const opened = await this.#lastOpening(token, address, signal)
      if (opened !== null && (best === null || opened.incarnation > best.incarnation)) best = opened
    }
    const newest = snapshots[0]?.meta
    if (newest !== undefined && (best === null || newest.incarnation > best.incarnation)) {
      best = { incarnation: newest.incarnation, epoch: newest.epoch, log: newest.log }
    }
    if (best !== null && !adopt) {
      throw new KagamiError(
        'KAGAMI_TOKEN_EXISTS',
        `the coordinator does not know token '${token}', but ${snapshots.length} snapshots and the log ${best.log.address} of it exist; pass adopt: true to take them over`,
        { details: { token, snapshots: snapshots.length, address: best.log.address } },
      )
    }
    return best
  }

  /** The incarnation and epoch that a log shows for a token; null where it shows nothing of it, or only its end. */
  async #lastOpening(token: string, address: string, signal: AbortSignal): Promise<Spec['adopt']> {
    const log = await this.#context.log.open(address, { token, signal })
    try {
      const { start, end } = await log.range({ signal })
      let found = null as Spec['adopt']
      let next: Offset = start
      if (start === end) return null
      for await (const batch of log.read(start, { signal, lookMs: 1_000, maxBatchBytes: 1_048_576 })) {
        for (const { bytes } of batch.records) {
          const frame = decodeFrame(bytes)
          if (frame.kind === 'skipped' || frame.kind === 'marker' || frame.token !== token) continue
          if (frame.kind === 'open')
            found = frame.deleted
              ? null
              : { incarnation: frame.incarnation, epoch: 0, log: { address, identity: log.identity } }
          else if (found !== null && frame.epoch > found.epoch) found = { ...found, epoch: frame.epoch }
        }
        next = batch.next
        if (next >= end || batch.next === batch.end) return found
      }
      return found
    } finally {
      await log.close()
    }
  }

  /** Undefined from `change` writes nothing. */
  async #update(
    token: string,
    signal: AbortSignal,
    change: (current: Spec | undefined) => Spec | undefined,
  ): Promise<Spec | undefined> {
    const { clock, random } = this.#context
    const name = `specs/${bucketOf(token)}`
    for (let failures = 0; ; failures++) {
      signal.throwIfAborted()
      try {
        const session = this.#context.session()
        const document = await session.read(name, { signal })
        const tokens = document === undefined ? [] : specDocument.decode(document.bytes, name).tokens
        const current = tokens.find((spec) => spec.token === token)
        const next = change(current)
        if (next === undefined || next === current) return next
        const others = tokens.filter((spec) => spec.token !== token)
        await session.write(name, specDocument.encode({ tokens: [...others, next] }), document?.version, { signal })
        return next
      } catch (error) {
        const again = isKagamiError(error) && (error.retryable || error.code === 'KAGAMI_VERSION_CONFLICT')
        if (!again) throw error
        await sleep(clock, backoffMs(failures, { first: 5, longest: 500 }, random), signal)
      }
    }
  }
}
