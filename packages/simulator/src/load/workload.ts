/** The clients of a run: write to tokens, mostly where their primary is, sometimes anywhere; create, alter, hand over and delete them. */
import type { Token, TokenOptions } from '@kagami/core'
import { comparePositions, isKagamiError } from '@kagami/core/contract'
import type { CallKind, Calls } from '../check/calls.js'
import type { Ghost } from '../check/ghost.js'
import { entryOf, type Ledger } from '../check/ledger.js'
import { describe } from '../kernel/trace.js'
import type { World } from '../world/wire.js'
import type { Cluster, RunningNode } from './cluster.js'

/** Outcomes of `replicate` that say for sure that the entry was never applied. */
const definite = [
  'KAGAMI_NOT_PRIMARY',
  'KAGAMI_STOPPED',
  'KAGAMI_NOT_STARTED',
  'KAGAMI_TOKEN_FAILED',
  'KAGAMI_TOKEN_UNKNOWN',
  'KAGAMI_NO_COPY',
  'KAGAMI_OVERLOADED',
  'KAGAMI_ENTRY_TOO_LARGE',
  'KAGAMI_STORE_FULL',
  'KAGAMI_LOG_UNAVAILABLE',
]

export interface WorkloadOptions {
  readonly world: World
  readonly cluster: Cluster
  readonly ghost: Ghost
  readonly ledger: Ledger
  readonly calls: Calls
  readonly tokens: number
}

/** A call of the management kind that was made while there are faults has been given up by then, and nothing of it is under way any more. */
const CALL_MS = 11_000

class Aborted extends Error {}

export class Workload {
  readonly #options: WorkloadOptions
  readonly tokens: readonly string[]
  readonly #settings = new Map<string, TokenOptions>()
  /** Tokens that a call is under way for, so that calls of one kind do not pile up, and what gives it up where it may be. */
  readonly #busy = new Map<string, (() => void) | undefined>()
  #on = true

  constructor(options: WorkloadOptions) {
    this.#options = options
    const { chance } = options.world
    this.tokens = Array.from({ length: options.tokens }, (_, i) => `t${i}`)
    for (const token of this.tokens) {
      const replicas = chance.below(3)
      const self = chance.happens(0.2)
      this.#settings.set(token, self ? { replicas, primary: 'self', failback: chance.happens(0.5) } : { replicas })
    }
  }

  begin(): void {
    const { world } = this.#options
    for (const token of this.tokens)
      world.scheduler.after(world.chance.between(0, 1500), undefined, () => this.ensure(token))
    this.#again(() => this.#burst(), 30, 500)
    this.#again(() => this.#manage(), 300, 2500)
  }

  /** Ends the traffic. What is under way is waited for from now on. */
  stop(): void {
    this.#on = false
    this.#busy.clear()
    for (const { kind } of this.#options.calls.pending()) this.#options.world.trace.count(`underWay.${kind}`)
  }

  /** As a client would ask for the token. */
  settingsOf(token: string): TokenOptions {
    return this.#settings.get(token) ?? {}
  }

  #again(act: () => void, leastMs: number, mostMs: number): void {
    const { scheduler, chance } = this.#options.world
    scheduler.after(chance.between(leastMs, mostMs), undefined, () => {
      if (!this.#on) return
      act()
      this.#again(act, leastMs, mostMs)
    })
  }

  /** Creates the token where it does not exist, through any node. */
  ensure(token: string, then: () => void = () => undefined): void {
    const node = this.#anyNode()
    if (node === undefined || this.#busy.has(token)) return
    const { chance, trace } = this.#options.world
    const settings = { ...this.settingsOf(token), adopt: chance.happens(0.7) }
    const failed = (error: unknown): void => {
      // Another node may own it by now, or an alteration may have come through though its call failed.
      if (isKagamiError(error, 'KAGAMI_TOKEN_OWNED') || isKagamiError(error, 'KAGAMI_TOKEN_OPTIONS')) then()
    }
    const act = (signal: AbortSignal): Promise<void> => node.kagami.token(token, { ...settings, signal }).then(then)
    this.#call(node, token, { kind: 'token', failed }, act)
    trace.count('creations')
  }

  /** Removes what the documents say of a token that is not there any more. Who asks for it meanwhile would wait in vain, and gives up; then it is to be called again. */
  remove(token: string): void {
    const node = this.#anyNode()
    this.#busy.get(token)?.()
    if (node === undefined || this.#busy.has(token)) return
    this.#options.ghost.removalAsked(token, CALL_MS)
    this.#call(node, token, { kind: 'remove' }, (signal) => node.kagami.remove(token, { signal }))
  }

  /** One call of the management kind, on one node, at most 10 s long while there are faults. Its errors are expected where they say what to do. */
  #call(
    node: RunningNode,
    token: string,
    asked: { readonly kind: CallKind; readonly what?: string; readonly failed?: (error: unknown) => void },
    act: (signal: AbortSignal) => Promise<unknown>,
  ): void {
    const { kind, what = kind } = asked
    const { calls, world } = this.#options
    const { trace } = world
    const controller = new AbortController()
    const giveUp = (): void => controller.abort(new Aborted(`${what} is given up`))
    this.#busy.set(token, kind === 'token' ? () => node.process.after(0, giveUp) : undefined)
    trace.add(node.process.label, `${what} ${token}`)
    let over = false
    const end = (): void => {
      if (over) return
      over = true
      this.#busy.delete(token)
    }
    // A process that dies or is paused answers nobody.
    world.scheduler.after(CALL_MS, undefined, end)
    node.process.after(10_000, () => {
      if (this.#on) controller.abort(new Aborted(`${what} took too long`))
    })
    node.process.after(0, () => {
      const call = calls.begin(kind, `${what} ${token}`, node.process.label)
      act(controller.signal).then(
        () => {
          calls.settled(call)
          trace.add(node.process.label, `${what} ${token}: done`)
          end()
        },
        (error: unknown) => {
          calls.settled(call)
          trace.add(node.process.label, `${what} ${token}: ${describe(error)}`)
          if (!isKagamiError(error) && !(error instanceof Aborted))
            trace.violation(
              'BUG',
              `${what} ${token} rejects with ${String(error instanceof Error ? error.stack : error)}`,
            )
          asked.failed?.(error)
          end()
        },
      )
    })
  }

  #burst(): void {
    const { chance } = this.#options.world
    const token = chance.pick(this.tokens)!
    const node = chance.happens(0.9) ? this.#options.cluster.primaryOf(token)?.node : this.#anyNode()
    if (node === undefined) return
    const count = 1 + chance.below(chance.happens(0.1) ? 30 : 5)
    for (let i = 0; i < count; i++) {
      node.process.after(chance.happens(0.5) ? 0 : chance.between(0, 20), () => {
        const handle = node.kagami.get(token)
        if (handle !== undefined) this.replicate(node, handle)
      })
    }
    // Several in a row, on any copy: one that comes while a marker is under way must not take that one for its own.
    const reader = chance.happens(0.3) ? this.#anyNode() : undefined
    for (let i = 0; i < 3; i++) reader?.process.after(chance.between(0, 30), () => this.#sync(reader, token))
  }

  /** One write, from its call to its outcome. */
  replicate(
    node: RunningNode,
    handle: Token<number>,
    acknowledged: () => void = () => undefined,
    failed: () => void = () => undefined,
  ): void {
    const { world, ghost, ledger } = this.#options
    const operation = ledger.begin(handle.name, node.process.label)
    const controller = world.faults.happens('clientAbort') ? new AbortController() : undefined
    if (controller !== undefined) world.trace.count('fault.clientAbort')
    if (controller !== undefined)
      node.process.after(world.chance.between(0, 20), () => controller.abort(new Aborted('the client gave up')))
    const options = controller === undefined ? {} : { signal: controller.signal }
    handle.replicate(entryOf(operation.id), options).then(
      ({ position, result }) => {
        ledger.settle(operation, 'acknowledged', undefined, position)
        ghost.acknowledged(operation, position)
        if (result !== operation.id)
          world.trace.violation('S5', `op ${operation.id} is answered with the result of op ${result}`)
        acknowledged()
      },
      (error: unknown) => {
        if (isKagamiError(error, 'KAGAMI_INDETERMINATE')) ledger.settle(operation, 'indeterminate', error)
        else if (isKagamiError(error, 'KAGAMI_APPLY_FAILED')) {
          ledger.settle(operation, 'applied-and-failed', error)
          ghost.committed(operation)
        } else if (error instanceof Aborted || (isKagamiError(error) && definite.includes(error.code))) {
          ledger.settle(operation, 'rejected', error)
          ghost.rejected(operation)
        } else world.trace.violation('S5', `op ${operation.id} ends with ${describe(error)}, which says nothing`)
        failed()
      },
    )
  }

  /** S6: what was acknowledged before the call is applied when it resolves. */
  #sync(node: RunningNode, token: string): void {
    const handle = node.kagami.get(token)
    const before = this.#options.ghost.acknowledgedUpTo(token)
    if (handle === undefined) return
    const { calls } = this.#options
    const call = calls.begin('sync', `sync of ${token}`, node.process.label)
    handle.sync().then(
      () => {
        const { trace } = this.#options.world
        calls.settled(call)
        trace.count('syncs')
        const next = handle.next
        if (before === undefined || next === undefined) return
        if (comparePositions(next, before) <= 0) {
          trace.violation(
            'S6',
            `${node.process.label} has synced ${token} at ${next.incarnation}/${next.index}, though ${before.incarnation}/${before.index} was acknowledged before`,
          )
        }
      },
      () => calls.settled(call),
    )
  }

  /** Alters, hands over, deletes and creates. */
  #manage(): void {
    const { chance } = this.#options.world
    const token = chance.pick(this.tokens)!
    const node = this.#anyNode()
    if (node === undefined || this.#busy.has(token)) return
    const { kagami } = node
    if (kagami.locate(token) === undefined) return this.ensure(token)
    const dice = chance.below(10)
    if (dice < 2) {
      const replicas = chance.below(3)
      this.#settings.set(token, { ...this.#settings.get(token), replicas })
      const asked = { kind: 'alter', what: `alter to ${replicas} replicas` } as const
      this.#call(node, token, asked, (signal) => kagami.alter(token, { replicas, signal }))
    } else if (dice < 5) {
      const to = chance.pick(this.#options.cluster.names)!
      const asked = { kind: 'handover', what: `handover to ${to}` } as const
      this.#call(node, token, asked, (signal) => kagami.handover(token, { to, signal }))
    } else if (dice < 7) {
      this.remove(token)
    } else this.ensure(token)
  }

  #anyNode(): RunningNode | undefined {
    return this.#options.world.chance.pick(this.#options.cluster.ready())
  }
}
