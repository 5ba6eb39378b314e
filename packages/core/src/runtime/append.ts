/** One append, with an end: what a log leaves without an answer counts as failed. Appends nothing a second time; its callers do. */
import { KagamiError, orAborted, type Clock, type Offset, type TokenLog } from '../contract/index.js'
import { linkedAbort } from './waiting.js'

/**
 * Appends, and rejects with KAGAMI_LOG_UNAVAILABLE when there is no answer within `timeoutMs`. It may land all the same, so whoever appends it
 * again appends the very same bytes.
 */
export async function appendWithin(
  timeoutMs: number,
  log: TokenLog,
  record: Uint8Array,
  clock: Clock,
  signal: AbortSignal,
): Promise<Offset> {
  const link = linkedAbort(signal)
  const timer = clock.timer(timeoutMs, () => link.abort(unanswered(log, timeoutMs)))
  try {
    return await orAborted(log.append(record, { signal: link.signal }), link.signal)
  } finally {
    timer.cancel()
    link.unlink()
  }
}

function unanswered({ address }: TokenLog, timeoutMs: number): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `the log at '${address}' has not answered an append for ${timeoutMs} ms; it is appended again`,
    { retryable: true, details: { address } },
  )
}
