/**
 * Turns a placement target into the next safe step of one token's assignment: fail over at once, hand over only to copies that are in sync,
 * make new copies before old ones are dropped. Pure: the controller calls it with what it knows and writes what it returns.
 */
import { crc32 } from 'node:zlib'
import type { Placement } from '../contract/index.js'
import { compareEpochs } from './admission.js'
import { calm, type ClusterView } from './cluster-view.js'
import {
  cannotWrite,
  inSync,
  isHindered,
  isOnItsWay,
  isUsable,
  lostFrom,
  lostHistory,
  takesOver,
  wouldLose,
} from './copy-fitness.js'
import { knownEntries, type Assignment, type Spec } from './documents.js'
import { withWishes } from './lost-specs.js'

/** Counts that the steps of several tokens share within one round; the steps keep them up to date. */
export interface RoundCounts {
  /** Copies per node that are on their way to be in sync. */
  readonly restoring: Map<string, number>
  readonly primaries: Map<string, number>
}

export interface StepInput {
  readonly spec: Spec
  readonly target: Placement | undefined
  readonly view: ClusterView
  readonly counts: RoundCounts
  readonly restoresPerNode: number
}

/** The next assignment of an open token; the very same object where there is nothing to do. */
export function nextStep(assignment: Assignment, input: StepInput): Assignment {
  let next = heal(assignment, input.view)
  if (next.phase !== 'open') return next
  const fresh = next.epoch === 0
  next = ensurePrimary(next, input)
  if (next.epoch === assignment.epoch) next = handOver(next, input)
  next = adjustReplicas(next, input, fresh)
  return withWishes(chooseSnapshotter(next, input), input.spec)
}

/**
 * A copy that has read a higher epoch or incarnation than the assignment's says so: the documents are older than the log.
 * Takes over what the log says, so that the next promotion is above it.
 */
export function heal(assignment: Assignment, view: ClusterView): Assignment {
  let healed = assignment
  for (const node of view.nodes.keys()) {
    const seen = view.report(node, assignment.token)?.seen
    if (!seen) continue
    const above = compareEpochs(seen, healed)
    if (seen.incarnation === healed.incarnation && seen.log.identity !== healed.log.identity) {
      // Two logs claim one incarnation. Nothing was acknowledged in one that never had a primary; of two that had, people must choose.
      if (healed.epoch > 0) continue
      healed = { ...healed, epoch: seen.epoch, log: seen.log }
    } else if (above < 0 || (above === 0 && healed.primary?.node !== node)) continue
    healed = {
      ...healed,
      incarnation: seen.incarnation,
      epoch: seen.epoch,
      log: seen.incarnation > healed.incarnation ? seen.log : healed.log,
      phase: seen.deleted ? 'deleted' : 'open',
      primary: null,
      replicas: copiesOf(healed),
    }
  }
  return healed
}

function ensurePrimary(assignment: Assignment, input: StepInput): Assignment {
  const { view, counts } = input
  const { primary, token } = assignment
  if (lostHistory(assignment, view) !== undefined) return withoutPrimary(assignment)
  const lives = primary !== null && view.nodes.get(primary.node)?.member === primary.member
  const stays = lives && view.report(primary.node, token)?.phase !== 'failed'
  const hindered = stays && isHindered(view, primary.node, token)
  if (stays && !hindered && view.report(primary.node, token)?.appendsFail !== true) return assignment
  // A log that takes nothing may take nothing of anybody. So each copy that can read it is tried once, and then stays, until it is known that one can write again.
  const takes = (node: string): boolean => hindered || !cannotWrite(view, node, token)
  const chosen = choosePrimary(
    assignment,
    input,
    (node) => !stays || (takes(node) && takesOver(node, primary.node, assignment, view)),
  )
  if (stays && chosen === undefined) return assignment
  const member = chosen === undefined ? undefined : view.nodes.get(chosen)?.member
  if (chosen === undefined || member === undefined) return withoutPrimary(assignment)
  count(counts.primaries, chosen, 1)
  return withPrimary(assignment, { node: chosen, member }, view)
}

function withoutPrimary(assignment: Assignment): Assignment {
  return assignment.primary === null ? assignment : { ...assignment, primary: null, replicas: copiesOf(assignment) }
}

/** The next epoch. What is known of the log is written down with it: reports are written over. */
function withPrimary(
  assignment: Assignment,
  primary: NonNullable<Assignment['primary']>,
  view: ClusterView,
): Assignment {
  const { token, incarnation, epoch } = assignment
  const index = Math.max(knownEntries(assignment), view.reached(token, incarnation))
  return {
    ...assignment,
    epoch: epoch + 1,
    reached: { incarnation, index },
    primary,
    replicas: copiesOf(assignment).filter((node) => node !== primary.node),
  }
}

/**
 * Copies that nothing hinders first, then those that can write, then those in sync, then by how much they have applied; without any usable copy, any member that
 * could restore one.
 */
function choosePrimary(assignment: Assignment, input: StepInput, mayBe: (node: string) => boolean): string | undefined {
  const { spec, target, view, counts } = input
  const lost = lostFrom(assignment, view)
  const usable = (node: string): boolean => isUsable(node, assignment, view, lost) && mayBe(node)
  if (holdsForOwner(spec) && spec.owner !== null) return usable(spec.owner) ? spec.owner : undefined
  const pinned = pinnedPrimary(assignment, spec)
  const rank = (node: string): readonly number[] => {
    const report = view.report(node, assignment.token)
    // How far a copy of another incarnation has come says nothing about this one.
    const applied = report?.incarnation === assignment.incarnation ? report.nextIndex : -1
    return [
      isHindered(view, node, assignment.token) ? 0 : 1,
      // Whose appends the log does not take will not do better the next time.
      cannotWrite(view, node, assignment.token) ? 0 : 1,
      inSync(view, node, assignment) ? 1 : 0,
      view.nodes.get(node)?.draining === 'no' ? 1 : 0,
      assignment.epoch === 0 && node === pinned ? 1 : 0,
      applied,
      node === target?.primary ? 1 : 0,
      -(counts.primaries.get(node) ?? 0),
    ]
  }
  const best = (nodes: readonly string[]): string | undefined =>
    nodes.filter(usable).sort((a, b) => compareRanks(rank(b), rank(a)) || (a < b ? -1 : 1))[0]
  const planned = target === undefined ? [] : [target.primary, ...target.replicas].filter((node) => node !== null)
  return best(copiesOf(assignment)) ?? planned.filter(usable)[0] ?? best([...view.nodes.keys()])
}

function handOver(assignment: Assignment, input: StepInput): Assignment {
  const { spec, view, counts, restoresPerNode } = input
  let next = assignment
  const wish = spec.handover
  // To be held for the owner ends what was asked for before, also if it is altered back some day.
  const overruled = holdsForOwner(spec) && spec.owner !== null && wish?.to !== spec.owner
  if (wish !== null && next.handoverGivenUp !== wish.nonce && (overruled || !mayFollow(wish.to, next, view))) {
    next = { ...next, handoverGivenUp: wish.nonce }
  }
  const { primary } = next
  if (primary === null) return next
  const to = wantedPrimary(next, input)
  if (to === undefined || to === primary.node) return next
  if (!copiesOf(next).includes(to)) {
    if ((counts.restoring.get(to) ?? 0) >= restoresPerNode) return next
    count(counts.restoring, to, 1)
    return { ...next, replicas: [...next.replicas, to].sort() }
  }
  const member = view.nodes.get(to)?.member
  const serving = view.report(primary.node, next.token)?.serving === next.epoch
  if (member === undefined || !serving || !inSync(view, to, next)) return next
  if (!isUsable(to, next, view, lostFrom(next, view))) return next
  count(counts.primaries, to, 1)
  count(counts.primaries, primary.node, -1)
  return withPrimary(next, { node: to, member }, view)
}

/** Whether a handover to this node can still come about, and last: a lost node may return within its grace period. */
function mayFollow(to: string, assignment: Assignment, view: ClusterView): boolean {
  if (view.nodes.get(to)?.draining !== 'no' || view.report(to, assignment.token)?.phase === 'failed') return false
  return !wouldLose(to, assignment, view)
}

/** Where the primary should be though it lives elsewhere; undefined: it may stay. */
function wantedPrimary(assignment: Assignment, input: StepInput): string | undefined {
  const { spec, target, view } = input
  const live = (node: string): boolean => view.nodes.get(node)?.member !== undefined
  const current = assignment.primary?.node
  // A token that is held for its owner goes to nobody else, whoever has asked for it before, and nowhere while the owner has it, leaves, or can't have it: a
  // copy that has failed there must not be kept as one that the primary is about to go to.
  if (holdsForOwner(spec) && spec.owner !== null)
    return current !== spec.owner && mayFollow(spec.owner, assignment, view) ? spec.owner : undefined
  const asked = askedPrimary(assignment, spec)
  if (asked !== undefined && live(asked)) return asked
  const leaves = current !== undefined && view.nodes.get(current)?.draining !== 'no'
  const planned = target?.primary ?? undefined
  const stays = (node: string): boolean =>
    live(node) && view.nodes.get(node)?.draining === 'no' && !wouldLose(node, assignment, view)
  if (leaves) {
    if (planned !== undefined && stays(planned) && inSync(view, planned, assignment)) return planned
    const others = assignment.replicas.filter((node) => stays(node) && inSync(view, node, assignment))
    return others[0] ?? (planned !== undefined && stays(planned) ? planned : undefined)
  }
  return calm(view) && planned !== undefined && stays(planned) ? planned : undefined
}

function adjustReplicas(assignment: Assignment, input: StepInput, fresh: boolean): Assignment {
  const { spec, target, view, counts, restoresPerNode } = input
  const { token } = assignment
  const failed = (node: string): boolean => view.report(node, token)?.phase === 'failed'
  const known = (node: string): boolean => view.nodes.has(node)
  const copies = copiesOf(assignment).filter(known)
  const wanted = (target === undefined ? copies : placed(target)).filter((node) => known(node) && !failed(node))
  const quiet = calm(view)
  let result = copies
  for (const node of wanted) {
    if (result.includes(node) || view.nodes.get(node)?.member === undefined) continue
    // Copies that are missing are made at once: only what moves for evenness waits until no node is within its grace.
    if (!fresh && !quiet && result.filter((other) => !failed(other)).length > spec.replicas) continue
    if (!fresh && (counts.restoring.get(node) ?? 0) >= restoresPerNode) continue
    count(counts.restoring, node, 1)
    result = [...result, node]
  }
  const ready = wanted.filter((node) => inSync(view, node, assignment)).length
  // Where the primary is about to go, a copy is needed whatever the strategy says: else it is made and dropped for ever.
  const next = wantedPrimary(assignment, input)
  const surplus = result.filter((node) => !wanted.includes(node) && node !== assignment.primary?.node && node !== next)
  // A copy that has failed stays, visible to people, until the full number is in sync elsewhere.
  const droppable = (node: string): boolean => ready > spec.replicas || (ready >= wanted.length && !failed(node))
  if (quiet && wanted.length > 0) {
    result = result.filter((node) => !(surplus.includes(node) && droppable(node)))
  }
  const replicas = result.filter((node) => node !== assignment.primary?.node).sort()
  return sameList(replicas, assignment.replicas) ? assignment : { ...assignment, replicas }
}

/** A replica that is in sync, and the same one as long as it is and its snapshots succeed, or others' do not; the primary where there is none. */
function chooseSnapshotter(assignment: Assignment, { view }: StepInput): Assignment {
  const candidates = assignment.replicas.filter((node) => inSync(view, node, assignment))
  const current = assignment.snapshotter
  const fails = (node: string): boolean => view.report(node, assignment.token)?.snapshotFails === true
  const able = candidates.filter((node) => !fails(node))
  if (current !== null && (able.length === 0 ? candidates : able).includes(current)) return assignment
  const byHash = (able.length === 0 ? candidates : able).sort(
    (a, b) => crc32(assignment.token + a) - crc32(assignment.token + b) || (a < b ? -1 : 1),
  )
  const snapshotter = byHash[0] ?? assignment.primary?.node ?? null
  return snapshotter === current ? assignment : { ...assignment, snapshotter }
}

/** Where the primary must be: at the owner, until it was lost and may not come back to it, or is asked for elsewhere. */
export function pinnedPrimary(assignment: Assignment | undefined, spec: Spec): string | undefined {
  if (spec.primary !== 'self' || spec.owner === null) return undefined
  if (spec.failover === 'hold' || assignment === undefined || assignment.epoch === 0) return spec.owner
  if (askedPrimary(assignment, spec) !== undefined) return undefined
  return spec.failback ? spec.owner : assignment.primary?.node
}

/** Where the primary was asked to be, by a handover that is not given up. */
export function askedPrimary(assignment: Assignment, { handover }: Spec): string | undefined {
  return handover === null || assignment.handoverGivenUp === handover.nonce ? undefined : handover.to
}

/** Whether only the owner may be the primary. */
export function holdsForOwner(spec: Spec): boolean {
  return spec.primary === 'self' && spec.failover === 'hold'
}

/** The nodes that hold a copy, sorted. */
export function copiesOf(assignment: Assignment): string[] {
  const { primary, replicas } = assignment
  return primary === null || replicas.includes(primary.node) ? [...replicas] : [...replicas, primary.node].sort()
}

/** Whether the assignment gives a node a copy. */
export function assignsCopy(assignment: Assignment, node: string): boolean {
  return (assignment.phase === 'open' || assignment.phase === 'deleting') && copiesOf(assignment).includes(node)
}

/** Copies per node that are yet to be in sync, and primaries per node, before a round. */
export function countRound(assignments: Iterable<Assignment>, view: ClusterView): RoundCounts {
  const counts: RoundCounts = { restoring: new Map(), primaries: new Map() }
  for (const assignment of assignments) {
    if (assignment.phase !== 'open') continue
    if (assignment.primary !== null) count(counts.primaries, assignment.primary.node, 1)
    for (const node of copiesOf(assignment)) {
      if (isOnItsWay(view, node, assignment)) count(counts.restoring, node, 1)
    }
  }
  return counts
}

function placed(target: Placement): string[] {
  return target.primary === null ? [...target.replicas] : [target.primary, ...target.replicas]
}

function count(counts: Map<string, number>, key: string, by: number): void {
  counts.set(key, (counts.get(key) ?? 0) + by)
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < a.length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}

function sameList(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i])
}
