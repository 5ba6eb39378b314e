/** The cluster as the controller sees it at a moment: who lives, who was lost a short while ago, and what they report. Remembers when nodes were lost. */
import type { Clock } from '../contract/index.js'
import { copiesOf, type ClusterView, type NodeView } from '../engine/assignment-steps.js'
import type { AssignmentTable } from './assignment-table.js'
import type { CopyReports } from './copy-reports.js'
import type { LiveMember } from './membership.js'

export class ClusterViews {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #reports: CopyReports
  readonly #lostAtMs = new Map<string, number>()
  readonly #lastSeen = new Map<string, LiveMember>()

  constructor(clock: Clock, graceMs: number, reports: CopyReports) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#reports = reports
  }

  /** Live nodes, and those that were lost a short while ago and that an assignment still names. */
  now(table: AssignmentTable, members: readonly LiveMember[]): ClusterView {
    const now = this.#clock.monotonicMs()
    const nodes = new Map<string, NodeView>()
    for (const member of members) {
      nodes.set(member.node, nodeView(member, true))
      this.#lastSeen.set(member.node, member)
      this.#lostAtMs.delete(member.node)
    }
    const named = new Set<string>()
    for (const assignment of table.values()) for (const node of copiesOf(assignment)) named.add(node)
    for (const node of named) {
      if (nodes.has(node)) continue
      const lostAtMs = this.#lostAtMs.get(node) ?? now
      this.#lostAtMs.set(node, lostAtMs)
      if (now - lostAtMs < this.#graceMs) {
        const last = this.#lastSeen.get(node)
        nodes.set(node, last === undefined ? unknownNode(node) : nodeView(last, false))
      }
    }
    for (const node of this.#lostAtMs.keys()) if (!named.has(node)) this.#lostAtMs.delete(node)
    return {
      nodes,
      report: (node, token) => this.#reports.of(node, nodes.get(node)?.member, token),
      reached: (token, incarnation) => this.#reports.reached(token, incarnation),
    }
  }

  /** How long until a grace period ends; `mostMs` if none does before. */
  untilChangeMs(mostMs: number): number {
    const now = this.#clock.monotonicMs()
    let waitMs = mostMs
    for (const lostAtMs of this.#lostAtMs.values()) {
      const left = lostAtMs + this.#graceMs - now
      if (left > 0) waitMs = Math.min(waitMs, left + 1)
    }
    return waitMs
  }
}

function nodeView({ node, member, data }: LiveMember, live: boolean): NodeView {
  return { node, member: live ? member : undefined, zone: data.zone, capacity: data.capacity, draining: data.draining }
}

function unknownNode(node: string): NodeView {
  return { node, member: undefined, zone: null, capacity: 1, draining: 'no' }
}
