/**
 * Which copies hold one of their node's places for restores: only those whose reports show that they come on. What can't come on, whatever its reason, must keep
 * no other token's copy from being made there. Pure: the controller remembers one attempt per copy that is not in sync, from round to round.
 */
import type { CopyReport } from './documents.js'

/** How a copy that is not in sync has come on, as far as its reports tell. */
export interface Attempt {
  readonly member: string
  readonly phase: CopyReport['phase'] | 'unknown'
  readonly incarnation: number
  readonly nextIndex: number
  /** When it was first found not to be in sync, by this member. */
  readonly begunMs: number
  /** When it was last found to have come on. */
  readonly movedMs: number
}

/** A copy that comes on, and never arrives, holds its place for so many times as long as one that does not come on. */
const ATTEMPT_STALLS = 10

/** What is known of an attempt after another look at the copy's report. */
export function lookedAt(
  before: Attempt | undefined,
  member: string,
  report: CopyReport | undefined,
  nowMs: number,
): Attempt {
  const { phase, incarnation, nextIndex } = report ?? { phase: 'unknown', incarnation: 0, nextIndex: 0 }
  const same = before?.member === member ? before : undefined
  const moved = phase !== same?.phase || incarnation !== same.incarnation || nextIndex !== same.nextIndex
  return {
    member,
    phase,
    incarnation,
    nextIndex,
    begunMs: same?.begunMs ?? nowMs,
    movedMs: moved ? nowMs : same.movedMs,
  }
}

/** Whether the copy gives up its place: it has not come on for `stallMs`, or takes far too long. */
export function isStalled({ begunMs, movedMs }: Attempt, nowMs: number, stallMs: number): boolean {
  return nowMs - movedMs >= stallMs || nowMs - begunMs >= ATTEMPT_STALLS * stallMs
}
