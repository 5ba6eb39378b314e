/**
 * Decides when a copy is snapshotted, which snapshots may restore a copy, and which are kept. Pure.
 */
import type { Offset, SnapshotRef } from '../contract/index.js'

export interface SnapshotCadence {
  readonly everyEntries: number
  readonly everyBytes: number
  readonly everyMs: number
}

/** What has happened since the last snapshot was captured, or since the copy began. */
export interface SinceSnapshot {
  readonly entries: number
  readonly bytes: number
  readonly ms: number
}

/** Whether a snapshot is due. Never without a new entry. `jitter` of [0, 1) spreads tokens over a fifth of the interval. */
export function snapshotDue(since: SinceSnapshot, cadence: SnapshotCadence, jitter: number): boolean {
  if (since.entries === 0) return false
  return (
    since.entries >= cadence.everyEntries ||
    since.bytes >= cadence.everyBytes ||
    since.ms >= cadence.everyMs * (1 + jitter / 5)
  )
}

/** By incarnation, then position, then id, descending: what "newest" means. Publication time means nothing. */
export function newestFirst(refs: readonly SnapshotRef[]): SnapshotRef[] {
  return [...refs].sort(
    (a, b) =>
      b.meta.incarnation - a.meta.incarnation ||
      b.meta.nextIndex - a.meta.nextIndex ||
      (a.meta.id < b.meta.id ? 1 : a.meta.id > b.meta.id ? -1 : 0),
  )
}

export interface Retention {
  readonly kept: readonly SnapshotRef[]
  readonly remove: readonly SnapshotRef[]
  /** The log may be truncated below this; undefined: it must not be. */
  readonly truncateBefore: Offset | undefined
}

/**
 * Keeps the newest `keep` verified snapshots of the incarnation in its log. With fewer than that, nothing is removed and nothing
 * truncated; else what is older than the oldest kept one goes, and the log may be truncated below that one's anchor, which the
 * restored reader compares first. Snapshots that are newer and not verified yet stay.
 */
export function retention(
  refs: readonly SnapshotRef[],
  verified: ReadonlySet<string>,
  { incarnation, identity }: { readonly incarnation: number; readonly identity: string },
  keep: number,
): Retention {
  const sorted = newestFirst(refs)
  const own = ({ meta }: SnapshotRef): boolean => meta.incarnation === incarnation && meta.log.identity === identity
  const kept = sorted.filter((ref) => own(ref) && verified.has(ref.meta.id)).slice(0, keep)
  const oldest = kept[kept.length - 1]
  if (oldest === undefined || kept.length < keep) return { kept, remove: [], truncateBefore: undefined }
  // One of the same incarnation in another log is no older state of this one.
  const remove = sorted
    .slice(sorted.indexOf(oldest) + 1)
    .filter((ref) => ref.meta.incarnation < incarnation || own(ref))
  return { kept, remove, truncateBefore: lowestAnchor(kept) }
}

/** Positions and offsets grow together within one log; the minimum is taken all the same, because truncation can't be undone. */
function lowestAnchor(kept: readonly SnapshotRef[]): Offset {
  return kept.map((ref) => BigInt(ref.meta.anchor.offset)).reduce((low, offset) => (offset < low ? offset : low))
}

export type Coverage =
  /** The log still holds the snapshot's anchor and everything after it. */
  | 'covered'
  /** The log starts above the snapshot's anchor: records are missing between them. */
  | 'below'
  /** The log ends at or before the snapshot's anchor: the log has lost records that were read. */
  | 'beyond'
  /** Of an older incarnation, or of another log. */
  | 'other'

/** Whether a copy of this incarnation can go on from the snapshot. One of a newer incarnation says that the assignment is old. */
export function coverage(
  ref: SnapshotRef,
  incarnation: number,
  identity: string,
  range: { readonly start: Offset; readonly end: Offset },
): Coverage {
  if (ref.meta.incarnation < incarnation || ref.meta.log.identity !== identity) return 'other'
  const anchor = BigInt(ref.meta.anchor.offset)
  if (anchor < range.start) return 'below'
  return anchor < range.end ? 'covered' : 'beyond'
}
