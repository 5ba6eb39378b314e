/** The errors that a copy raises, with what to do about them. Only builds them. */
import { isKagamiError, KagamiError, type Offset, type Position } from '../contract/index.js'
import type { NodeRef } from './api.js'

export function asFailure(token: string, error: unknown): KagamiError {
  return isKagamiError(error) ? error : bug(token, 'read loop', error)
}

export function bug(token: string, task: string, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_BUG',
    `the ${task} of '${token}' ended with an unexpected error: ${String(cause)}; please report it`,
    { cause },
  )
}

export function noCopy(token: string): KagamiError {
  return new KagamiError(
    'KAGAMI_NO_COPY',
    `this node holds no readable copy of '${token}' now; ask a node that locate() names`,
    {
      retryable: true,
      details: { token },
    },
  )
}

export function unknownToken(token: string): KagamiError {
  return new KagamiError('KAGAMI_TOKEN_UNKNOWN', `there is no token '${token}'; create it with token()`, {
    details: { token },
  })
}

export function applyFailed(token: string, { incarnation, index }: Position, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_APPLY_FAILED',
    `apply threw at position ${incarnation}/${index} of '${token}': ${cause instanceof Error ? cause.message : String(cause)}. The entry is committed; mend apply and restart this node`,
    { cause, details: { token, incarnation, index } },
  )
}

export function noMachine(token: string, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_FAILED',
    `option stateMachine threw for '${token}': ${cause instanceof Error ? cause.message : String(cause)}. Mend it, and restart this node`,
    { cause, details: { token } },
  )
}

export function replaced(token: string, address: string): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_REPLACED',
    `the log at '${address}' is not the one that token '${token}' was opened in; it was deleted and created anew. Bring it back, or remove the token`,
    { details: { token, address } },
  )
}

export function twoLogs(token: string, incarnation: number, own: string, other: string): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_REPLACED',
    `two logs claim incarnation ${incarnation} of '${token}': this copy reads '${own}', and the coordinator names '${other}'. Both are kept. Bring back newer documents of the coordinator, or remove the token`,
    { details: { token, incarnation, own, other } },
  )
}

export function lostEntries(token: string, nextIndex: number, known: Position): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `the log of '${token}' holds ${nextIndex} entries, and copies had applied ${known.index}: it has lost acknowledged records. ` +
      'Bring the log back, or remove the token and create it anew',
    { details: { token, incarnation: known.incarnation, nextIndex, reached: known.index } },
  )
}

export function lostTail(token: string, offset: Offset): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `the log of '${token}' no longer holds the record at offset ${offset} that this copy has read: it has lost acknowledged records. Bring the log back; until then this copy stops`,
    { details: { token, offset: String(offset) } },
  )
}

export function unopened(token: string, offset: Offset): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_GAP',
    `the frame at offset ${offset} of '${token}' rests on an epoch, or on entries, that this copy has not found before it: records are missing`,
    { details: { token, offset: String(offset) } },
  )
}

export function diverged(token: string, offset: Offset): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_DIVERGED',
    `the frame at offset ${offset} of '${token}' continues another history than this copy's; this copy stops. Compare the copies before you remove one`,
    { details: { token, offset: String(offset) } },
  )
}

/** The entry was certainly not applied; says where it should go. */
export function notPrimary(token: string, why: string, primary: NodeRef | undefined): KagamiError {
  const where =
    primary === undefined
      ? 'no other node is known to be the primary now; try again'
      : `the primary is on node '${primary.id}'; send it there`
  return new KagamiError('KAGAMI_NOT_PRIMARY', `the entry was not applied to '${token}': ${why}; ${where}`, {
    retryable: true,
    details: { token, primary: primary ?? null },
  })
}

export function copyFailed(token: string, error: KagamiError | undefined): KagamiError {
  return new KagamiError(
    'KAGAMI_TOKEN_FAILED',
    `the copy of '${token}' on this node has failed: ${error?.message ?? 'unknown'}`,
    {
      cause: error,
      details: { token, code: error?.code ?? null },
    },
  )
}

/** Told while it lasts: the log is tried again until it answers. */
export function unheard(token: string, ms: number, cause: KagamiError | undefined): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `the copy of '${token}' has heard nothing from its log for ${Math.round(ms)} ms${because(cause)}. It may be behind, and goes on when it does; see that this node reaches the log`,
    { retryable: true, cause, details: { token } },
  )
}

/** As {@link unheard}, for a copy that has not come to read its log yet. */
export function unopenable(token: string, address: string, ms: number, cause: KagamiError | undefined): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `the log of '${token}' at '${address}' has not been opened for ${Math.round(ms)} ms${because(cause)}. It is tried again; see that this node reaches the log`,
    { retryable: true, cause, details: { token, address } },
  )
}

/** As {@link unheard}, for a copy whose restore stands still. */
export function restoreStalled(token: string, ms: number, cause: KagamiError | undefined): KagamiError {
  return new KagamiError(
    'KAGAMI_TIMEOUT',
    `the restore of '${token}' has not moved on for ${Math.round(ms)} ms${because(cause)}. It is tried again; see that this node reaches the log and the snapshots, and that the state machine's restore() ends`,
    { retryable: true, cause, details: { token } },
  )
}

function because(cause: KagamiError | undefined): string {
  return cause === undefined ? '' : ` (${cause.message})`
}

/** Nothing of the call was appended, and its own reader could not tell how it ends. */
export function deaf(token: string, cause: KagamiError): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `nothing was appended to '${token}', since what becomes of it would not be heard of now: ${cause.message}. Then try again`,
    { retryable: true, cause, details: { token } },
  )
}

/** More calls wait than the limits allow; this one was not begun. */
export function overloaded(token: string, call: 'replicate' | 'sync' | 'waitFor', waiting: number): KagamiError {
  return new KagamiError(
    'KAGAMI_OVERLOADED',
    `${waiting} calls of ${call} already wait for the log of '${token}'; wait for some of them before you send more`,
    { retryable: true, details: { token } },
  )
}

/** Goes on, and is told meanwhile: the snapshots may be there again at any time. */
export function restoreHindered(token: string, cause: unknown): KagamiError {
  const why = cause instanceof Error ? cause.message : String(cause)
  return new KagamiError(
    isKagamiError(cause) ? cause.code : 'KAGAMI_STORE_UNAVAILABLE',
    `the copy of '${token}' can't be restored now, since its log starts after its beginning and its snapshots can't be had: ${why}`,
    { retryable: true, cause, details: { token } },
  )
}
