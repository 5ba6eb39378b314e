/**
 * Looks for the frame that opens an incarnation, and at what follows it: a late copy of that frame looks the same, and only what comes next tells.
 * Reads frames and applies nothing.
 */
import type { Offset, TokenLog } from '../contract/index.js'
import { admit, emptyState, restsOnMore } from '../engine/admission.js'
import { decodeFrame } from '../engine/frame.js'
import { endsSooner, MOST_LOOKS } from './log-history.js'
import type { Movement } from './stall.js'

export interface Opening {
  readonly offset: Offset
  readonly incarnation: number
  /**
   * What the log holds of the incarnation behind the frame. 'entries': the first that counts is the incarnation's first, so the frame is as good as the first one.
   * 'end': whatever was in it is over. Else there is no entry; 'nothing': it was only opened; 'first epoch': its first barrier comes next; 'middle': something else does,
   * which may rest on what the log no longer holds.
   */
  readonly follows: 'entries' | 'end' | 'nothing' | 'first epoch' | 'middle'
}

export interface OpeningSearch {
  readonly token: string
  readonly incarnation: number
  readonly range: { readonly start: Offset; readonly end: Offset }
  readonly maxBatchBytes: number
}

/** Where this incarnation, or a newer one, is opened; `begun`, if the log shows only what comes after that; `none`, if it shows nothing of it. */
export async function findOpening(
  log: TokenLog,
  { token, incarnation, range, maxBatchBytes }: OpeningSearch,
  { signal, moved }: Movement,
): Promise<Opening | 'begun' | 'none'> {
  if (range.start === range.end) return 'none'
  let opened: Pick<Opening, 'offset' | 'incarnation'> | undefined
  let next: Opening['follows'] = 'nothing'
  /** As a copy would see it that begins with the frame. */
  const state = emptyState()
  const opening = (follows: Opening['follows']): Opening | 'none' =>
    opened === undefined ? 'none' : { ...opened, follows }
  let looks = 0
  let reached = range.start
  for await (const batch of log.read(range.start, { signal, lookMs: 1000, maxBatchBytes })) {
    // A look brings it on no further.
    if (batch.next > reached) {
      reached = batch.next
      looks = 0
      moved()
    }
    for (const { offset, bytes } of batch.records) {
      const frame = decodeFrame(bytes)
      if (frame.kind === 'skipped' || frame.token !== token) continue
      if (frame.kind === 'marker') {
        // Somebody has read the log up to here, perhaps from a beginning that was before the frame.
        if (next === 'nothing') next = 'middle'
        continue
      }
      // Leftovers of older incarnations, of whoever had this log before.
      if (frame.incarnation < (opened?.incarnation ?? incarnation)) continue
      if (frame.kind === 'open') {
        if (opened?.incarnation === frame.incarnation) continue
        if (opened !== undefined) return opening('end')
        opened = { offset, incarnation: frame.incarnation }
        next = 'nothing'
        admit(state, token, frame)
        // Nothing can follow the end of a creation but another one.
        if (frame.deleted) return opening('end')
        continue
      }
      if (opened === undefined) return 'begun'
      const verdict = admit(state, token, frame)
      if (verdict === 'data') return opening('entries')
      if (restsOnMore(verdict)) return 'begun'
      if (verdict === 'barrier' && next === 'nothing') next = state.epoch === 1 ? 'first epoch' : 'middle'
    }
    if (batch.next >= range.end) return opening(next)
    // What a reader that lags does not show now must not count as not being there.
    if (batch.next === batch.end && ++looks > MOST_LOOKS) throw endsSooner(log, range.end, batch.end)
  }
  return opening(next)
}
