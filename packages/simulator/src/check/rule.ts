/**
 * The admission rule once more, written from the protocol's text and without the hash chain, so that the engine's is not
 * checked against itself only. Used by the checker alone.
 */
import type { Frame } from '@kagami/core/engine'

export interface RuleState {
  incarnation: number
  epoch: number
  term: bigint
  nextSeq: number
  nextIndex: number
  deleted: boolean
}

export type RuleVerdict = 'opened' | 'barrier' | 'data' | 'marker' | 'level' | 'gap' | 'ignored'

export function ruleState(): RuleState {
  return { incarnation: 0, epoch: 0, term: 0n, nextSeq: 0, nextIndex: 0, deleted: false }
}

export function judge(state: RuleState, frame: Frame): RuleVerdict {
  switch (frame.kind) {
    case 'marker':
      return 'marker'
    case 'open':
      if (frame.incarnation <= state.incarnation) return 'ignored'
      Object.assign(state, { ...ruleState(), incarnation: frame.incarnation, deleted: frame.deleted })
      return 'opened'
    case 'barrier':
    case 'data':
    case 'level':
      if (frame.incarnation !== state.incarnation) return frame.incarnation > state.incarnation ? 'gap' : 'ignored'
      if (state.deleted) return 'ignored'
  }
  if (frame.kind === 'barrier') {
    if (frame.epoch <= state.epoch) return 'ignored'
    if (frame.nextIndex > state.nextIndex) return 'gap'
    Object.assign(state, { epoch: frame.epoch, term: frame.term, nextSeq: 0 })
    return 'barrier'
  }
  if (frame.epoch > state.epoch) return 'gap'
  if (frame.epoch < state.epoch || frame.term !== state.term) return 'ignored'
  if (frame.kind === 'level') return 'level'
  if (frame.firstSeq !== state.nextSeq) return 'ignored'
  state.nextSeq += frame.count
  state.nextIndex += frame.count
  return 'data'
}

/** Whether the engine came to the same verdict. */
export function agrees(engine: string, own: RuleVerdict): boolean {
  if (own !== 'ignored') return engine === own || (own === 'level' && engine === 'old-level')
  return !['opened', 'barrier', 'data', 'marker', 'level', 'gap', 'diverged'].includes(engine)
}
