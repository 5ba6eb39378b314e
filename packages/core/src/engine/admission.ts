/**
 * The one rule that says which frames count. Every reader of a token's log runs it, the primary included, so all agree
 * without talking to each other. Decides, and keeps the state that the next decision needs; never applies an entry.
 */
import { chainAfterBarrier, chainAfterData, chainOfOpen } from './chain.js'
import type { Frame } from './frame.js'

/** What a copy knows of its log; also in every snapshot. ARCHITECTURE.md, "State of a copy". */
export interface CopyState {
  /** 0 before the first open frame. */
  incarnation: number
  /** 0 before the incarnation's first barrier. */
  epoch: number
  /** The term in force; 0 before the first barrier. */
  term: bigint
  /** The next seq that counts in this epoch. */
  nextSeq: number
  /** Entries that have counted in this incarnation. */
  nextIndex: number
  /** The digest of what has counted in this incarnation, which the next data frame must name. */
  chain: bigint
  /** The state-machine level in force; 0 until raised. */
  level: number
  /** The incarnation was opened as deleted: nothing can be written to it. */
  deleted: boolean
}

/** What a copy knows before it has read anything. The result is the caller's: {@link admit} changes it. */
export function emptyState(): CopyState {
  return { incarnation: 0, epoch: 0, term: 0n, nextSeq: 0, nextIndex: 0, chain: 0n, level: 0, deleted: false }
}

/** Why a well-formed frame doesn't count. All of them are harmless: zombies, retries, duplicates, reordering. */
export type IgnoreReason =
  'foreign' | 'old-incarnation' | 'old-epoch' | 'old-term' | 'duplicate' | 'ahead' | 'old-level' | 'deleted'

/** What {@link admit} says of a frame: it counts ('opened' to 'level'), the copy can't go on ('gap', 'diverged'), or it is passed over. */
export type Verdict =
  /** A new incarnation: the state machine starts empty. */
  | 'opened'
  | 'barrier'
  | 'data'
  | 'marker'
  | 'level'
  /** The frame belongs to an incarnation or epoch that was never opened here, or its writer had read more entries: records are missing. */
  | 'gap'
  /** The frame is the next one, but it continues another history than this copy's. */
  | 'diverged'
  | IgnoreReason

/** Whether a frame shows that there was more before it than the copy has read: the open frame that it began with came late. */
export function restsOnMore(verdict: Verdict): boolean {
  return verdict === 'gap' || verdict === 'diverged' || verdict === 'old-term'
}

/** Judges the next frame of `token`'s log, and moves `state` on when it counts. */
export function admit(state: CopyState, token: string, frame: Frame): Verdict {
  if (frame.token !== token) return 'foreign'
  if (frame.kind === 'marker') return 'marker'
  if (frame.kind === 'open') {
    if (frame.incarnation <= state.incarnation) return 'old-incarnation'
    state.incarnation = frame.incarnation
    state.epoch = 0
    state.term = 0n
    state.nextSeq = 0
    state.nextIndex = 0
    state.chain = chainOfOpen(token, frame.incarnation)
    state.level = 0
    state.deleted = frame.deleted
    return 'opened'
  }
  if (frame.incarnation < state.incarnation) return 'old-incarnation'
  if (frame.incarnation > state.incarnation) return 'gap'
  if (state.deleted) return 'deleted'
  if (frame.kind === 'barrier') {
    if (frame.epoch <= state.epoch) return 'old-epoch'
    if (frame.nextIndex > state.nextIndex) return 'gap'
    state.epoch = frame.epoch
    state.term = frame.term
    state.nextSeq = 0
    state.chain = chainAfterBarrier(state.chain, frame.epoch, frame.term)
    return 'barrier'
  }
  if (frame.epoch > state.epoch) return 'gap'
  if (frame.epoch < state.epoch) return 'old-epoch'
  if (frame.term !== state.term) return 'old-term'
  if (frame.kind === 'level') {
    if (frame.level <= state.level) return 'old-level'
    state.level = frame.level
    return 'level'
  }
  if (frame.firstSeq < state.nextSeq) return 'duplicate'
  if (frame.firstSeq > state.nextSeq) return 'ahead'
  if (frame.chain !== state.chain || frame.firstIndex !== state.nextIndex) return 'diverged'
  state.nextSeq += frame.count
  state.nextIndex += frame.count
  state.chain = chainAfterData(state.chain, frame.body)
  return 'data'
}

/** Negative when (incarnation, epoch) `a` is older than `b`. */
export function compareEpochs(
  a: { readonly incarnation: number; readonly epoch: number },
  b: { readonly incarnation: number; readonly epoch: number },
): number {
  return a.incarnation - b.incarnation || a.epoch - b.epoch
}
