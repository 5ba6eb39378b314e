/**
 * What the members report of their copies, as the controller last heard. Of what a member said that is over nothing counts but how far it had come: what
 * it had applied was in the log.
 */
import type { Document } from '../contract/index.js'
import { reportDocument, type CopyReport } from '../engine/documents.js'
import type { AssignmentTable } from './assignment-table.js'
import { DocumentTable } from './directory.js'
import type { LiveMember } from './membership.js'

interface ReportEntry {
  /** Node and token: the table's key. */
  readonly token: string
  readonly member: string
  readonly report: CopyReport
}

export class CopyReports {
  readonly #entries = new DocumentTable<ReportEntry>(decodeReports)
  /** Those that have ever reported anything, and are not forgotten. */
  #nodes: ReadonlySet<string> = new Set()

  update(documents: ReadonlyMap<string, Document>, onBad: (name: string, error: unknown) => void): void {
    this.#entries.update(documents, onBad)
    this.#nodes = new Set(Array.from(documents.keys(), nodeOf))
  }

  /** What this member of the node says of its copy. */
  of(node: string, member: string | undefined, token: string): CopyReport | undefined {
    const entry = this.#entries.get(reportKey(node, token))
    return entry !== undefined && entry.member === member ? entry.report : undefined
  }

  /** The most entries of an incarnation that any node has told of, in any of its runs; 0: none. */
  reached(token: string, incarnation: number): number {
    let most = 0
    for (const node of this.#nodes) {
      const reached = this.#entries.get(reportKey(node, token))?.report.reached
      if (reached?.incarnation === incarnation) most = Math.max(most, reached.index)
    }
    return most
  }

  /** The logs of which a live node says that it follows them as assigned. Costs a look at every report. */
  logsHeld(table: AssignmentTable, members: readonly LiveMember[]): ReadonlySet<string> {
    const live = new Set(members.map(({ member }) => member))
    const held = new Set<string>()
    for (const { member, report } of this.#entries.values()) {
      if (!live.has(member) || report.phase !== 'running' || report.seen !== null) continue
      const assignment = table.get(report.token)
      if (assignment?.phase === 'open' && assignment.incarnation === report.incarnation)
        held.add(assignment.log.address)
    }
    return held
  }

  /** By token: the live nodes whose copy of it has failed, sorted. Costs a look at every report. */
  failed(members: readonly LiveMember[]): ReadonlyMap<string, readonly string[]> {
    const nodes = new Map(members.map(({ node, member }) => [member, node]))
    const failed = new Map<string, string[]>()
    for (const { member, report } of this.#entries.values()) {
      const node = nodes.get(member)
      if (node === undefined || report.phase !== 'failed') continue
      failed.set(report.token, [...(failed.get(report.token) ?? []), node].sort())
    }
    return failed
  }

  /** The live nodes that report a copy, sorted. */
  holders(token: string, members: readonly LiveMember[]): string[] {
    const holders: string[] = []
    for (const { node, member } of members) {
      const report = this.of(node, member, token)
      if (report !== undefined && report.phase !== 'failed') holders.push(node)
    }
    return holders.sort()
  }
}

function reportKey(node: string, token: string): string {
  return `${node}/${token}`
}

/** Whose reports a document holds. */
function nodeOf(name: string): string {
  return name.split('/')[1] ?? ''
}

function decodeReports(bytes: Uint8Array, name: string): readonly ReportEntry[] {
  const { member, tokens } = reportDocument.decode(bytes, name)
  const node = nodeOf(name)
  return tokens.map((report) => ({ token: reportKey(node, report.token), member, report }))
}
