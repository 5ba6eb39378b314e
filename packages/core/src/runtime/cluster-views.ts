/**
 * The cluster as the controller sees it at a moment: who lives, who was lost a short while ago, and what they report. Remembers when nodes were lost, and how copies come on that
 * are not in sync.
 */
import type { Clock } from '../contract/index.js'
import { copiesOf } from '../engine/assignment-steps.js'
import type { ClusterView, NodeView } from '../engine/cluster-view.js'
import { isStalled, lookedAt, type Attempt } from '../engine/restore-places.js'
import type { AssignmentTable } from './assignment-table.js'
import type { CopyReports } from './copy-reports.js'
import type { LiveMember } from './membership.js'

export class ClusterViews {
  readonly #clock: Clock
  readonly #graceMs: number
  readonly #stallMs: number
  readonly #reports: CopyReports
  readonly #lostAtMs = new Map<string, number>()
  readonly #lastSeen = new Map<string, LiveMember>()

  /** By node, then by token. */
  #attempts: ReadonlyMap<string, ReadonlyMap<string, Attempt>> = new Map()

  /** `graceMs`: how long a lost node is expected back. `stallMs`: how long a copy that does not come on is waited for. */
  constructor(
    clock: Clock,
    { graceMs, stallMs }: { readonly graceMs: number; readonly stallMs: number },
    reports: CopyReports,
  ) {
    this.#clock = clock
    this.#graceMs = graceMs
    this.#stallMs = stallMs
    this.#reports = reports
  }

  /** Live nodes, and those that were lost a short while ago and that an assignment still names. */
  now(table: Pick<AssignmentTable, 'values'>, members: readonly LiveMember[]): ClusterView {
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
    const attempts = this.#attemptsAt(now, table, nodes)
    this.#attempts = attempts
    return {
      nodes,
      stalled: (node, token) => {
        const attempt = attempts.get(node)?.get(token)
        return attempt !== undefined && isStalled(attempt, now, this.#stallMs)
      },
      report: (node, token) => this.#reports.of(node, nodes.get(node)?.member, token),
      reached: (token, incarnation) => this.#reports.reached(token, incarnation),
    }
  }

  #attemptsAt(
    nowMs: number,
    table: Pick<AssignmentTable, 'values'>,
    nodes: ReadonlyMap<string, NodeView>,
  ): ReadonlyMap<string, ReadonlyMap<string, Attempt>> {
    const attempts = new Map<string, Map<string, Attempt>>()
    for (const assignment of table.values()) {
      if (assignment.phase !== 'open') continue
      const { token } = assignment
      for (const node of copiesOf(assignment)) {
        const member = nodes.get(node)?.member
        const report = this.#reports.of(node, member, token)
        if (member === undefined || report?.inSync === true) continue
        const own = attempts.get(node) ?? new Map<string, Attempt>()
        attempts.set(node, own.set(token, lookedAt(this.#attempts.get(node)?.get(token), member, report, nowMs)))
      }
    }
    return attempts
  }

  /** How long until a grace period ends, or a copy counts as stalled; `mostMs` if none does before. */
  untilChangeMs(mostMs: number): number {
    const now = this.#clock.monotonicMs()
    let waitMs = mostMs
    for (const lostAtMs of this.#lostAtMs.values()) {
      const left = lostAtMs + this.#graceMs - now
      if (left > 0) waitMs = Math.min(waitMs, left + 1)
    }
    for (const attempts of this.#attempts.values()) {
      for (const { movedMs } of attempts.values()) {
        const left = movedMs + this.#stallMs - now
        if (left > 0) waitMs = Math.min(waitMs, left + 1)
      }
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
