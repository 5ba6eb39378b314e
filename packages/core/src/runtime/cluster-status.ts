/** Says how a cluster is, from what its members, documents and reports say: whether each token is as people want it, and why not. Only looks. */
import { isRemoved, type Assignment, type CopyReport, type Spec } from '../engine/documents.js'
import type { JsonValue } from './api.js'
import type { ClusterStatus, CopyState, CopyStatus, MemberStatus, SnapshotStatus, TokenStatus } from './cluster-api.js'
import type { CopyReports } from './copy-reports.js'
import type { Directory } from './directory.js'
import { serves } from './handover.js'
import type { LiveMember } from './membership.js'

export interface ClusterFacts {
  readonly directory: Directory
  readonly reports: CopyReports
  readonly members: readonly LiveMember[]
}

/** A token, without what only the snapshot store knows. */
type TokenFacts = Omit<TokenStatus, 'snapshot'>

/** Of one token, or of all that there are, by name. */
export function tokenStatuses(facts: ClusterFacts, only: string | undefined): readonly TokenFacts[] {
  const { directory, reports, members } = facts
  const names = new Set<string>()
  if (only !== undefined) names.add(only)
  else
    for (const entries of [directory.specs(), directory.assignments()])
      for (const { token } of entries) names.add(token)
  const failed = reports.failed(members)
  const statuses: TokenFacts[] = []
  for (const token of [...names].sort()) {
    const status = tokenStatus(token, facts, failed.get(token) ?? [])
    if (status !== undefined) statuses.push(status)
  }
  return statuses
}

export function clusterStatus(
  cluster: string,
  { directory, members }: ClusterFacts,
  tokens: readonly TokenFacts[],
  snapshots: ReadonlyMap<string, SnapshotStatus | null>,
  snapshotsError: ClusterStatus['snapshotsError'],
): ClusterStatus {
  const controller = members.find(({ member }) => member === directory.controller)?.node ?? null
  return {
    cluster,
    ok: tokens.every(({ ok }) => ok),
    controller,
    members: memberStatuses(members, controller, directory),
    tokens: tokens.map((token) => ({ ...token, snapshot: snapshots.get(token.token) ?? null })),
    snapshotsError,
  }
}

function memberStatuses(
  members: readonly LiveMember[],
  controller: string | null,
  directory: Directory,
): readonly MemberStatus[] {
  const counts = new Map(members.map(({ node }) => [node, { primaries: 0, copies: 0 }]))
  for (const { phase, primary, replicas } of directory.assignments()) {
    if (phase !== 'open') continue
    const first = counts.get(primary?.node ?? '')
    if (first !== undefined) first.primaries += 1
    for (const node of [...(primary === null ? [] : [primary.node]), ...replicas]) {
      const count = counts.get(node)
      if (count !== undefined) count.copies += 1
    }
  }
  return members.map(({ node, member, data }) => ({
    node,
    member,
    zone: data.zone,
    capacity: data.capacity,
    draining: data.draining,
    controller: node === controller,
    meta: data.meta as JsonValue,
    ...(counts.get(node) ?? { primaries: 0, copies: 0 }),
  }))
}

/** Undefined where there is no such token, or none any more. */
function tokenStatus(token: string, facts: ClusterFacts, failed: readonly string[]): TokenFacts | undefined {
  const spec = facts.directory.spec(token)
  const assignment = facts.directory.assignment(token)
  const phase = phaseOf(spec, assignment)
  if (phase === undefined) return undefined
  const open = phase === 'creating' ? undefined : assignment
  const copies = open === undefined ? [] : copyStatuses(open, facts, failed)
  const problems = problemsOf(phase, spec, copies)
  return {
    token,
    phase,
    ok: problems.length === 0,
    problems,
    incarnation: open?.incarnation ?? 0,
    epoch: open?.epoch ?? 0,
    wanted: spec === undefined ? null : wantedOf(spec),
    handover: handoverOf(spec, open),
    copies,
  }
}

function phaseOf(spec: Spec | undefined, assignment: Assignment | undefined): TokenStatus['phase'] | undefined {
  const wanted = spec !== undefined && !spec.removed
  if (assignment === undefined) return wanted ? 'creating' : undefined
  const over = spec !== undefined && isRemoved(spec, assignment.incarnation)
  switch (assignment.phase) {
    case 'deleted':
    case 'gone':
      return wanted ? 'creating' : undefined
    case 'deleting':
      return 'removing'
    case 'opening':
      return wanted ? 'creating' : 'removing'
    case 'open':
      return over ? 'removing' : 'open'
  }
}

function wantedOf({ replicas, primary, weight, failover, failback, owner }: Spec): TokenStatus['wanted'] {
  return { replicas, primary, weight, failover, failback, owner }
}

function handoverOf(spec: Spec | undefined, assignment: Assignment | undefined): string | null {
  const wish = spec?.handover ?? null
  if (wish === null || assignment === undefined || assignment.handoverGivenUp === wish.nonce) return null
  return assignment.primary?.node === wish.to ? null : wish.to
}

function copyStatuses(assignment: Assignment, facts: ClusterFacts, failed: readonly string[]): readonly CopyStatus[] {
  const { primary, replicas } = assignment
  const at = (node: string): LiveMember | undefined => facts.members.find((member) => member.node === node)
  const report = (node: string): CopyReport | undefined => facts.reports.of(node, at(node)?.member, assignment.token)
  // A restarted node is not the primary that was promoted, though it may hold a copy again.
  const live = primary !== null && at(primary.node)?.member === primary.member
  const first = primary === null || !live ? undefined : report(primary.node)
  const copy = (node: string, role: CopyStatus['role']): CopyStatus => {
    const found = role === 'primary' ? first : report(node)
    const lives = role === 'primary' ? live : at(node) !== undefined
    const state = lives ? stateOf(found, assignment, role) : 'lost'
    const next = applied(found, assignment)
    return {
      node,
      role,
      state,
      next: next === undefined ? null : { incarnation: assignment.incarnation, index: next },
      lag: state === 'in-sync' || state === 'serving' ? 0 : behind(applied(first, assignment), next),
      snapshotter: assignment.snapshotter === node,
      snapshotFails: found?.snapshotFails ?? false,
      error: found?.error ?? null,
    }
  }
  const assigned = [...(primary === null ? [] : [primary.node]), ...replicas]
  const replaced = failed.filter((node) => !assigned.includes(node))
  return [
    ...(primary === null ? [] : [copy(primary.node, 'primary')]),
    ...replicas.map((node) => copy(node, 'replica')),
    ...replaced.map((node) => copy(node, 'replaced')),
  ]
}

function stateOf(report: CopyReport | undefined, assignment: Assignment, role: CopyStatus['role']): CopyState {
  if (report === undefined) return 'opening'
  if (report.phase === 'failed') return 'failed'
  if (report.phase === 'restoring') return 'restoring'
  if (report.incarnation !== assignment.incarnation) return 'opening'
  if (role === 'primary' && serves(report, assignment)) return 'serving'
  if (report.cutOff) return 'cut-off'
  return report.inSync ? 'in-sync' : 'behind'
}

/** How much of the assigned incarnation a copy has applied, as far as that is known. */
function applied(report: CopyReport | undefined, assignment: Assignment): number | undefined {
  return report?.incarnation === assignment.incarnation ? report.nextIndex : undefined
}

function behind(primary: number | undefined, copy: number | undefined): number | null {
  // Reports are of different moments: a copy may well be told to be ahead.
  return primary === undefined || copy === undefined ? null : Math.max(0, primary - copy)
}

function problemsOf(phase: TokenStatus['phase'], spec: Spec | undefined, copies: readonly CopyStatus[]): string[] {
  if (phase === 'creating') return ['it is not created yet']
  if (phase === 'removing') return ['it is being removed']
  const problems: string[] = []
  const primary = primaryProblem(copies)
  if (primary !== undefined) problems.push(primary)
  if (spec === undefined) return [...problems, 'the coordinator has lost what is wanted of it']
  const replicas = copies.filter(({ role }) => role === 'replica')
  const inSync = replicas.filter(({ state }) => state === 'in-sync').length
  if (inSync < spec.replicas) problems.push(`${inSync} of ${spec.replicas} replicas are in sync`)
  return problems
}

function primaryProblem([first]: readonly CopyStatus[]): string | undefined {
  if (first?.role !== 'primary') return 'it has no primary'
  const { node, state, error } = first
  if (state === 'lost') return `its primary is lost with node '${node}'`
  const why = error === null ? '' : ` (${error})`
  if (state === 'serving')
    return error === null ? undefined : `its log takes nothing of its primary on node '${node}'${why}`
  return state === 'failed'
    ? `its primary on node '${node}' has failed${why}`
    : `node '${node}' does not serve it now${why}`
}
