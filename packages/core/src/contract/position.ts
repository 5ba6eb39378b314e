/**
 * Positions and offsets: the two ways to name a place in a token's history. Users see positions; only the log's
 * adapter gives meaning to offsets.
 */

/**
 * A place in a token's history, dense and the same at every replica. The first entry of an incarnation has index 0.
 * Compare with {@link comparePositions}.
 */
export interface Position {
  /** Grows when a token is deleted and created again. At least 1. */
  readonly incarnation: number
  /** Count of the entries before this one, within the incarnation. */
  readonly index: number
}

/** A place in one log. Only the order means anything: offsets may have gaps and need not start at 0. */
export type Offset = bigint

/** Negative when `a` is before `b`, 0 when they are the same place, positive when `a` is after `b`. */
export function comparePositions(a: Position, b: Position): number {
  return a.incarnation - b.incarnation || a.index - b.index
}
