/**
 * Watches what controllers write: S9, that a deposed one changes nothing, and of S10, that no node is given two copies of a token. That copies
 * lie in zones apart shows at the end only (finale.ts).
 */
import { assignmentDocument, compareEpochs, type Assignment, type AssignmentDocument } from '@kagami/core/engine'
import type { Document } from '@kagami/core/contract'
import type { SimProcess } from '../kernel/process.js'
import type { Trace } from '../kernel/trace.js'
import type { CoordinatorObserver } from '../world/coordinator-server.js'

export class Proposals implements CoordinatorObserver {
  readonly #trace: Trace
  readonly #last = new Map<string, AssignmentDocument>()

  readonly #onLost: () => void

  constructor(trace: Trace, onLost: () => void) {
    this.#trace = trace
    this.#onLost = onLost
  }

  lost(): void {
    this.#last.clear()
    this.#onLost()
  }

  wrote(document: Document, who: SimProcess): void {
    this.#trace.count('documents')
    const next = parse(document)
    if (next === undefined) return
    this.#trace.count('assignments')
    const last = this.#last.get(document.name)
    this.#last.set(document.name, next)
    if (last !== undefined && next.controller < last.controller) {
      this.#trace.violation(
        'S9',
        `${who.label} writes ${document.name} as controller ${next.controller}, after controller ${last.controller} did`,
      )
    }
    const before = new Map(last?.tokens.map((assignment) => [assignment.token, assignment]))
    for (const assignment of next.tokens) this.#check(assignment, before.get(assignment.token), who)
  }

  #check(next: Assignment, last: Assignment | undefined, who: SimProcess): void {
    const { token, primary, replicas } = next
    const nodes = primary === null ? replicas : [...replicas, primary.node]
    if (new Set(nodes).size !== nodes.length)
      this.#trace.violation('S10', `${token} is assigned to one node twice: ${nodes.join()}`)
    if (last === undefined) return this.#show(next, who)
    const order = compareEpochs(next, last)
    if (order < 0) {
      this.#trace.violation('S9', `${who.label} assigns ${token} ${pair(next)} after ${pair(last)}`)
    }
    if (order === 0 && primary !== null && last.primary !== null && primary.member !== last.primary.member) {
      this.#trace.violation(
        'S3',
        `${token} ${pair(next)} is assigned to ${last.primary.member}, then to ${primary.member}`,
      )
    }
    if (JSON.stringify(next) !== JSON.stringify(last)) this.#show(next, who)
  }

  #show(next: Assignment, who: SimProcess): void {
    const at = `${next.primary?.node ?? '-'} + ${next.replicas.join()}`
    this.#trace.add(
      who.label,
      `assigns ${next.token} ${pair(next)} ${next.phase} ${at} (snapshots ${next.snapshotter ?? '-'})`,
    )
  }
}

function pair(assignment: { readonly incarnation: number; readonly epoch: number }): string {
  return `i${assignment.incarnation} e${assignment.epoch}`
}

function parse(document: Document): AssignmentDocument | undefined {
  const text = Buffer.from(document.bytes).toString()
  return text.includes('"what":"assignments"') ? assignmentDocument.decode(document.bytes, document.name) : undefined
}
