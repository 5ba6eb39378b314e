/** What a copy is fit for, as far as reports tell: whether it is in sync, hindered, able to write, or proves that the log has lost what was in it. */
import type { ClusterView } from './cluster-view.js'
import { knownEntries, type Assignment } from './documents.js'

/** Whether a copy is yet to be in sync, and may be before long. What is stuck does not count: a few such tokens would keep all others from the node. */
export function isOnItsWay(view: ClusterView, node: string, assignment: Assignment): boolean {
  const { token } = assignment
  const report = view.report(node, token)
  if (report?.phase === 'failed' || (report?.phase === 'restoring' && report.error !== null)) return false
  // One that is being restored has not looked at its log yet: that says nothing.
  if (report?.phase === 'running' && report.cutOff) return false
  return !inSync(view, node, assignment) && !view.stalled(node, token)
}

/** Whether a copy has read all of the log not long ago. */
export function inSync(view: ClusterView, node: string, assignment: Assignment): boolean {
  const report = view.report(node, assignment.token)
  return (
    report !== undefined && report.inSync && report.phase === 'running' && report.incarnation === assignment.incarnation
  )
}

/** Whether a copy lives but has lost its log, or can't be restored because its node does not reach the snapshots. */
export function isHindered(view: ClusterView, node: string, token: string): boolean {
  const report = view.report(node, token)
  return report !== undefined && (report.cutOff || (report.phase === 'restoring' && report.error !== null))
}

/** Whether a copy has told that the log takes nothing of it, and not yet that it takes something again: it reads on, and would serve nothing as the primary. */
export function cannotWrite(view: ClusterView, node: string, token: string): boolean {
  const report = view.report(node, token)
  return report?.phase === 'running' && report.error !== null
}

/** Whether the primary would only lose by going there: it can write where it is, and could not there. */
export function wouldLose(node: string, { token, primary }: Assignment, view: ClusterView): boolean {
  return primary !== null && cannotWrite(view, node, token) && !cannotWrite(view, primary.node, token)
}

/** Whether a replica is better off than a primary that is hindered: in sync; or on its way to be, where the primary is not there either. */
export function takesOver(node: string, primary: string, assignment: Assignment, view: ClusterView): boolean {
  const { token, replicas } = assignment
  if (!replicas.includes(node) || view.report(node, token) === undefined || isHindered(view, node, token)) return false
  return inSync(view, node, assignment) || view.report(primary, token)?.phase === 'restoring'
}

/** Whether a node can be made the primary: it lives, its copy has not failed, and it has come as far as is known of a log that has lost a tail. */
export function isUsable(
  node: string,
  { token, incarnation }: Assignment,
  view: ClusterView,
  lost: number | undefined,
): boolean {
  const report = view.report(node, token)
  if (view.nodes.get(node)?.member === undefined || report?.phase === 'failed') return false
  return lost === undefined || (report?.incarnation === incarnation && report.nextIndex >= lost)
}

/**
 * How far copies had come that find that the log no longer holds, or contradicts, what they have applied; undefined: there is none. That is the log's fault and not theirs, so what
 * has come less far must not be made the primary: what it would acknowledge takes the places of what was acknowledged before.
 */
export function lostFrom(assignment: Assignment, view: ClusterView): number | undefined {
  const { token, incarnation } = assignment
  let lost: number | undefined
  for (const node of view.nodes.keys()) {
    const report = view.report(node, token)
    if (report?.phase !== 'failed' || report.incarnation !== incarnation) continue
    if (report.error !== 'KAGAMI_LOG_LOST_TAIL' && report.error !== 'KAGAMI_LOG_DIVERGED') continue
    lost = Math.max(lost ?? knownEntries(assignment), report.nextIndex)
  }
  return lost
}

/** What a copy fails with that does not find in its log what should be there. */
const LOG_LOST: readonly (string | null)[] = ['KAGAMI_LOG_LOST_TAIL', 'KAGAMI_LOG_DIVERGED', 'KAGAMI_LOG_GAP']

/**
 * Two copies that prove that the log has lost what was in it, and that another history has taken the place: the first had applied more, in earlier epochs, than the other
 * found before the barrier of its own. Whatever is wrong with the first one, it had applied that; and in a whole log all of it comes before a barrier that it has not come to.
 */
export function lostHistory(
  { token, incarnation }: Assignment,
  view: ClusterView,
): { readonly node: string; readonly other: string } | undefined {
  for (const node of view.nodes.keys()) {
    const failed = view.report(node, token)
    if (failed?.phase !== 'failed' || failed.incarnation !== incarnation || !LOG_LOST.includes(failed.error)) continue
    for (const other of view.nodes.keys()) {
      const report = view.report(other, token)
      if (report?.incarnation !== incarnation || report.epochBegan === undefined) continue
      if (report.epoch > failed.epoch && report.epochBegan < failed.nextIndex) return { node, other }
    }
  }
  return undefined
}
