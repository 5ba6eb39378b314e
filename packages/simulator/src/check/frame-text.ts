/** A frame in one line of the timeline, for people. */
import { decodeEntries, type Frame } from '@kagami/core/engine'
import { operationOf } from './ledger.js'

export function show(frame: Frame): string {
  const { kind, token, incarnation } = frame
  if (kind === 'open') return `open${frame.deleted ? ' deleted' : ''} ${token} i${incarnation}`
  if (kind === 'marker') return `marker ${token} i${incarnation}`
  const head = `${kind} ${token} i${incarnation} e${frame.epoch} t${frame.term.toString(16).slice(0, 4)}`
  if (kind !== 'data') return head
  const ids = decodeEntries(frame.body, frame.count).map(operationOf)
  return `${head} #${frame.firstSeq} [${ids.join(' ')}]`
}
