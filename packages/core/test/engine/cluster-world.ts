/**
 * A cluster in miniature for the controller's steps: nodes die, return, drain and fail; copies take a while to be in sync; the log, not the documents, says which epoch is in
 * force. Checks after every step what no step may do.
 */
import { expect } from 'vitest'
import type { Placement } from '../../src/contract/index.js'
import { compareEpochs } from '../../src/engine/admission.js'
import {
  copiesOf,
  countRound,
  holdsForOwner,
  nextStep,
  askedPrimary,
  pinnedPrimary,
} from '../../src/engine/assignment-steps.js'
import { calm, type ClusterView, type NodeView } from '../../src/engine/cluster-view.js'
import type { Assignment, CopyReport, Spec } from '../../src/engine/documents.js'
import { NEW, REPORT, SPEC } from './scenario.js'
import type { Tally } from './support.js'

export interface WorldEvent {
  readonly what:
    | 'die'
    | 'return'
    | 'forget'
    | 'drain'
    | 'leave'
    | 'stay'
    | 'fail'
    | 'refuse'
    | 'permit'
    | 'ask'
    | 'shuffle'
    | 'rewind'
    | 'alter'
    | 'rounds'
  readonly node: number
  readonly token: number
  readonly many: number
}

export interface TokenShape {
  readonly replicas: number
  readonly owner: number | undefined
  readonly hold: boolean
  readonly failback: boolean
}

interface Node {
  readonly id: string
  run: number
  alive: boolean
  /** Not yet lost for longer than the grace period. */
  known: boolean
  draining: NodeView['draining']
}

interface CopyInWorld {
  readonly member: string
  /** Rounds until it is in sync. */
  behind: number
  failed: boolean
  /** The log has refused an entry of it, and takes its barriers. */
  refused: boolean
  serving: number
  /** The highest epoch that this member was given. */
  used: number
}

export class ClusterWorld {
  readonly nodes: Node[]
  readonly tokens: {
    spec: Spec
    assignment: Assignment
    inForce: number
    readonly past: Assignment[]
    readonly copies: Map<string, CopyInWorld>
  }[]
  readonly restoresPerNode: number
  readonly tally: Tally
  salt = 0
  #wishes = 0

  constructor(nodes: number, shapes: readonly TokenShape[], restoresPerNode: number, tally: Tally) {
    this.restoresPerNode = restoresPerNode
    this.tally = tally
    this.nodes = Array.from({ length: nodes }, (_, at) => ({
      id: `n${at}`,
      run: 1,
      alive: true,
      known: true,
      draining: 'no',
    }))
    this.tokens = shapes.map(({ replicas, owner, hold, failback }, at) => {
      const token = `t${at}`
      const own = {
        primary: 'self',
        owner: `n${(owner ?? 0) % nodes}`,
        failover: hold ? 'hold' : 'promote',
        failback,
      } as const
      const spec = { ...SPEC, token, replicas, ...(owner === undefined ? {} : own) }
      return { spec, assignment: { ...NEW, token }, inForce: 0, past: [], copies: new Map() }
    })
  }

  happen({ what, node: pick, token: which, many }: WorldEvent): void {
    const node = this.nodes[pick % this.nodes.length] as Node
    const token = this.tokens[which % this.tokens.length] as (typeof this.tokens)[number]
    switch (what) {
      case 'die':
        if (node.alive) this.#die(node)
        return
      case 'return':
        if (!node.alive) Object.assign(node, { alive: true, known: true, run: node.run + 1, draining: 'no' })
        return
      case 'forget':
        if (!node.alive) node.known = false
        return
      case 'drain':
      case 'leave':
        if (node.alive) node.draining = what === 'drain' ? 'drain' : 'leaving'
        return
      case 'stay':
        node.draining = 'no'
        return
      case 'fail': {
        const copy = token.copies.get(node.id)
        if (copy !== undefined && node.alive) Object.assign(copy, { failed: true, serving: 0 })
        return
      }
      case 'refuse': {
        const copy = token.copies.get(node.id)
        if (copy !== undefined && node.alive && !copy.failed) Object.assign(copy, { refused: true, serving: 0 })
        return
      }
      case 'permit': {
        const copy = token.copies.get(node.id)
        if (copy !== undefined) copy.refused = false
        return
      }
      case 'ask':
        token.spec = { ...token.spec, handover: { to: node.id, nonce: String(++this.#wishes) } }
        return
      case 'alter':
        if (token.spec.primary === 'self') token.spec = { ...token.spec, failover: many % 2 === 0 ? 'hold' : 'promote' }
        return
      case 'shuffle':
        this.salt = many
        return
      case 'rewind': {
        // The coordinator is restored from an old backup: what it says of the epochs is no longer true.
        const old = token.past[many % Math.max(1, token.past.length)]
        if (old !== undefined) token.assignment = old
        this.tally.add('rewound', old === undefined ? 0 : 1)
        return
      }
      case 'rounds':
        for (let i = 0; i <= many % 6; i++) this.round()
    }
  }

  /** Faults stop: everyone who is gone stays gone, everyone who is leaving stays. */
  calmDown(): void {
    for (const node of this.nodes) {
      if (!node.alive) node.known = false
      if (node.draining === 'leaving') node.draining = 'no'
    }
  }

  /** One round of the controller, and what the nodes make of it. Gives the number of assignments that changed. */
  round(): number {
    const view = this.view()
    const counts = countRound(
      this.tokens.map(({ assignment }) => assignment),
      view,
    )
    const restoring = new Map(counts.restoring)
    const made = new Map<string, number>()
    let changed = 0
    for (const token of this.tokens) {
      const before = token.assignment
      const target = this.targetOf(token.spec, before, view)
      const next = nextStep(before, { spec: token.spec, target, view, counts, restoresPerNode: this.restoresPerNode })
      if (next === before) continue
      changed += 1
      this.#check(before, next, token.spec, view)
      if (before.epoch > 0) {
        for (const node of next.replicas)
          if (!copiesOf(before).includes(node)) made.set(node, (made.get(node) ?? 0) + 1)
      }
      token.past.push(before)
      token.assignment = next
    }
    for (const [node, count] of made) {
      expect((restoring.get(node) ?? 0) + count, `restores at ${node}`).toBeLessThanOrEqual(this.restoresPerNode)
      this.tally.add('copies made', count)
    }
    for (const token of this.tokens) this.#live(token)
    return changed
  }

  view(): ClusterView {
    const nodes = new Map<string, NodeView>()
    const named = new Set(this.tokens.flatMap(({ assignment }) => copiesOf(assignment)))
    for (const node of this.nodes) {
      if (!node.alive && !(node.known && named.has(node.id))) continue
      nodes.set(node.id, {
        node: node.id,
        member: node.alive ? memberOf(node) : undefined,
        zone: null,
        capacity: 1,
        draining: node.draining,
      })
    }
    return {
      nodes,
      report: (node, token) => (nodes.get(node)?.member === undefined ? undefined : this.#report(node, token)),
      reached: () => 0,
      stalled: () => false,
    }
  }

  /** A strategy that knows no evenness: by a hash, nodes that drain last. As pure as the real ones. */
  targetOf(spec: Spec, assignment: Assignment, view: ClusterView): Placement {
    const failed = (node: string): boolean => view.report(node, spec.token)?.phase === 'failed'
    const asked = askedPrimary(assignment, spec)
    const pinned = pinnedPrimary(assignment, spec)
    const rank = (node: NodeView): number =>
      (node.node === pinned ? -4000 : node.node === asked ? -2000 : 0) +
      (node.draining === 'drain' ? 1000 : 0) +
      hash(`${spec.token}${node.node}${this.salt}`)
    const order = [...view.nodes.values()].filter(({ node }) => !failed(node)).sort((a, b) => rank(a) - rank(b))
    const [primary, ...replicas] = order.slice(0, 1 + spec.replicas).map(({ node }) => node)
    return { primary: primary ?? null, replicas }
  }

  #report(node: string, name: string): CopyReport | undefined {
    const token = this.tokens.find(({ spec }) => spec.token === name)
    const copy = token?.copies.get(node)
    if (token === undefined || copy === undefined) return undefined
    const { assignment, inForce } = token
    const epoch = copy.behind === 0 ? inForce : 0
    const mine = assignment.primary?.member === copy.member
    const refuses = mine
      ? copy.serving !== assignment.epoch && assignment.epoch <= Math.max(copy.used, epoch)
      : assignment.epoch < epoch
    const log = assignment.log
    return {
      ...REPORT,
      token: name,
      epoch,
      nextIndex: copy.behind === 0 ? 10 : 1,
      phase: copy.failed ? 'failed' : 'running',
      inSync: !copy.failed && copy.behind === 0,
      serving: copy.serving,
      seen: refuses && !copy.failed ? { incarnation: 1, epoch: Math.max(copy.used, epoch), log, deleted: false } : null,
      error: copy.refused && !copy.failed ? 'KAGAMI_LOG_REFUSED' : null,
    }
  }

  /** The nodes follow their assignments: copies are made, catch up, are dropped, and the primary is promoted. */
  #live(token: (typeof this.tokens)[number]): void {
    const { assignment, copies } = token
    for (const node of this.nodes) {
      if (!node.alive) continue
      const copy = copies.get(node.id)
      if (!copiesOf(assignment).includes(node.id)) {
        if (copy !== undefined && !copy.failed) copies.delete(node.id)
        continue
      }
      if (copy === undefined) {
        copies.set(node.id, {
          member: memberOf(node),
          behind: 1 + (hash(node.id + token.spec.token) % 3),
          failed: false,
          refused: false,
          serving: 0,
          used: 0,
        })
        continue
      }
      if (copy.failed) continue
      copy.behind = Math.max(0, copy.behind - 1)
      const mine = assignment.primary?.member === copy.member
      if (!mine || copy.serving < token.inForce) copy.serving = 0
      if (mine && copy.behind === 0 && assignment.epoch > Math.max(token.inForce, copy.used)) {
        Object.assign(copy, { serving: assignment.epoch, used: assignment.epoch })
        token.inForce = assignment.epoch
        this.tally.add('promoted')
      }
    }
  }

  #die(node: Node): void {
    Object.assign(node, { alive: false, known: true })
    for (const { copies } of this.tokens) copies.delete(node.id)
  }

  #check(before: Assignment, next: Assignment, spec: Spec, view: ClusterView): void {
    const copies = copiesOf(next)
    const known = copiesOf(before).filter((node) => view.nodes.has(node))
    const ready = (node: string): boolean => view.report(node, spec.token)?.inSync === true
    expect(compareEpochs(next, before)).toBeGreaterThanOrEqual(0)
    expect(new Set(copies).size, 'no two copies on one node').toBe(copies.length)
    expect(next.replicas).not.toContain(next.primary?.node)
    if (known.some(ready)) expect(copies.some(ready), 'the last copy in sync is kept').toBe(true)
    if (!calm(view)) {
      expect(copies, 'nothing is dropped within a grace period').toEqual(expect.arrayContaining(known))
      this.tally.add('in a grace period')
    }
    const { primary } = next
    if (primary === null) return
    if (primary.member === before.primary?.member && next.epoch === before.epoch) return
    expect(next.epoch, 'a change of primary has an epoch of its own').toBeGreaterThan(before.epoch)
    expect(view.nodes.get(primary.node)?.member, 'the primary lives').toBe(primary.member)
    expect(view.report(primary.node, spec.token)?.phase, 'the primary has not failed').not.toBe('failed')
    if (holdsForOwner(spec)) expect(primary.node, 'nobody but the owner').toBe(spec.owner)
    const old = before.primary === null ? undefined : view.report(before.primary.node, spec.token)
    const oldLives = before.primary !== null && view.nodes.get(before.primary.node)?.member === before.primary.member
    const refused = [...view.nodes.keys()].some((node) => (view.report(node, spec.token)?.seen ?? null) !== null)
    if (!oldLives || old?.phase === 'failed' || refused) return this.tally.add(refused ? 'healed' : 'failed over')
    expect(ready(primary.node), 'handed over to a copy in sync').toBe(true)
    expect(old?.serving, 'handed over by a primary that serves').toBe(before.epoch)
    expect(view.nodes.get(primary.node)?.draining, 'handed over to a node that stays').toBe('no')
    const refusedThere = (view.report(primary.node, spec.token)?.error ?? null) !== null
    if (refusedThere) expect(old?.error, 'nobody who can write gives way to a copy that can not').not.toBeNull()
    this.tally.add('handed over')
    this.tally.add('came back to its owner', holdsForOwner(spec) ? 1 : 0)
  }
}

function memberOf(node: Node): string {
  return `${node.id}.${node.run}`
}

function hash(text: string): number {
  let value = 7
  for (const char of text) value = (Math.imul(value, 31) + char.charCodeAt(0)) >>> 0
  return (Math.imul(value, 2654435761) >>> 8) % 997
}
