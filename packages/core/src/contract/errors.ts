/**
 * The errors of Kagami: one class, told apart by a stable `code`. Callers match codes, never messages.
 * Imports nothing, so that every adapter can raise them.
 */

/** What went wrong, and in one line what the caller can rely on. Codes are stable; messages are not. */
export type KagamiErrorCode =
  /** An option is missing or wrong; the message names it, its value and what would be right. Nothing was started. */
  | 'KAGAMI_BAD_OPTION'
  /** Definite: the entry was never applied. This copy is not the primary (or not yet, or no longer). Retry at `details.primary`. */
  | 'KAGAMI_NOT_PRIMARY'
  /** Unknown: the entry may or may not have been applied, now or later. */
  | 'KAGAMI_INDETERMINATE'
  /** The entry is committed, and `apply` threw on this copy; the copy has stopped. */
  | 'KAGAMI_APPLY_FAILED'
  /** Definite: the entry was never applied. More entries wait than the options allow. */
  | 'KAGAMI_OVERLOADED'
  /** Definite: the entry is larger than the limit. */
  | 'KAGAMI_ENTRY_TOO_LARGE'
  /** Definite: the entry was never applied. The codec threw, or gave something else than bytes. */
  | 'KAGAMI_ENCODING_FAILED'
  /** The node is stopped, or stopping. For `replicate`: definite. */
  | 'KAGAMI_STOPPED'
  /** The node was used before `start()` resolved. */
  | 'KAGAMI_NOT_STARTED'
  /** An operation did not end within its deadline. */
  | 'KAGAMI_TIMEOUT'
  /** No token of that name exists. */
  | 'KAGAMI_TOKEN_UNKNOWN'
  /** Another live node owns the token (`primary: 'self'`). */
  | 'KAGAMI_TOKEN_OWNED'
  /** The token exists with other options. */
  | 'KAGAMI_TOKEN_OPTIONS'
  /** Snapshots or a log of this token exist though the coordinator does not know it: pass `adopt: true` to take them over. */
  | 'KAGAMI_TOKEN_EXISTS'
  /** This copy of the token has failed; `cause` says why. It serves nothing until it is replaced. */
  | 'KAGAMI_TOKEN_FAILED'
  /** This node holds no copy of the token. */
  | 'KAGAMI_NO_COPY'
  /** Another live member has the same node id. */
  | 'KAGAMI_NODE_ID_TAKEN'
  /** The log no longer holds what this copy needs, and no snapshot covers it. */
  | 'KAGAMI_LOG_GAP'
  /** The position asked for lies below the log's start. */
  | 'KAGAMI_LOG_TRUNCATED'
  /** The log has lost records that it had acknowledged: it ends before a position that was read, or holds another record there. */
  | 'KAGAMI_LOG_LOST_TAIL'
  /** The hash chain of a frame contradicts what this copy has applied. */
  | 'KAGAMI_LOG_DIVERGED'
  /** The log at this address is not the one that the token was opened in. */
  | 'KAGAMI_LOG_REPLACED'
  /** The log can't be reached now. Nothing is known of what was under way. */
  | 'KAGAMI_LOG_UNAVAILABLE'
  /** The log refuses this frame, or this client, for good. */
  | 'KAGAMI_LOG_REFUSED'
  /** A log record is not a well-formed frame: bad checksum, or cut short. */
  | 'KAGAMI_BAD_FRAME'
  /** A frame, document or snapshot of a newer format than this version reads. Upgrade this node. */
  | 'KAGAMI_UNKNOWN_FORMAT'
  /** The coordinator can't be reached now. A write under way may or may not have happened. */
  | 'KAGAMI_COORDINATOR_UNAVAILABLE'
  /** Somebody has asked for something else of the token since, so this will not be done. */
  | 'KAGAMI_SUPERSEDED'
  /** The session has expired or is closed. */
  | 'KAGAMI_SESSION_LOST'
  /** The document's version is not the one that was expected. Nothing was written. */
  | 'KAGAMI_VERSION_CONFLICT'
  /** The document is larger than the coordinator takes. Nothing was written. */
  | 'KAGAMI_DOCUMENT_TOO_LARGE'
  /** A document's bytes are not what this version writes. */
  | 'KAGAMI_BAD_DOCUMENT'
  /** The coordinator has lost what people want of tokens that are there. They are kept as they are assigned. */
  | 'KAGAMI_SPEC_LOST'
  /** The snapshot's bytes fail a check. */
  | 'KAGAMI_SNAPSHOT_CORRUPT'
  /** There is no such snapshot. */
  | 'KAGAMI_SNAPSHOT_MISSING'
  /** A snapshot of that id is already published. */
  | 'KAGAMI_SNAPSHOT_EXISTS'
  /** The state machine could not be made, captured, persisted or restored. */
  | 'KAGAMI_SNAPSHOT_FAILED'
  /** The store, the log or the coordinator has no room left. */
  | 'KAGAMI_STORE_FULL'
  /** The snapshot store can't be reached, or may not be written, now. */
  | 'KAGAMI_STORE_UNAVAILABLE'
  /** A broken invariant: please report it. */
  | 'KAGAMI_BUG'

/** What an error carries besides its message. */
export interface KagamiErrorOptions {
  /** Whether the same call may succeed later without any change. @default false */
  readonly retryable?: boolean
  /** What has led to it, for people: the error of a client, of the system, or of the application. */
  readonly cause?: unknown
  /** Facts for programs: the option's name, the new primary, the position. Plain JSON values. */
  readonly details?: Readonly<Record<string, unknown>>
}

const brand = Symbol.for('kagami.error')

/** The one error class of Kagami and its adapters. The message says what to do next. */
export class KagamiError extends Error {
  /** The same for every code: what a stack trace begins with. */
  override readonly name = 'KagamiError'
  /** What callers match. {@link KagamiErrorCode} says what each of them lets the caller rely on. */
  readonly code: KagamiErrorCode
  /** Whether the same call may succeed later without any change. */
  readonly retryable: boolean
  /** Facts for programs, by code: the option's name, the token, the new primary. Plain JSON values; empty where there are none. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: KagamiErrorCode, message: string, options: KagamiErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.retryable = options.retryable ?? false
    this.details = options.details ?? {}
    Object.defineProperty(this, brand, { value: true })
  }
}

/**
 * Whether `error` is a Kagami error, and, where `code` is given, one of that code. Works across copies of this
 * package, where `instanceof` would not.
 */
export function isKagamiError(error: unknown, code?: KagamiErrorCode): error is KagamiError {
  if (typeof error !== 'object' || error === null || !(brand in error)) return false
  return code === undefined || (error as unknown as KagamiError).code === code
}

/** A `KAGAMI_BAD_OPTION` that names the option, its value and what would be right. */
export function badOption(option: string, value: unknown, expected: string): KagamiError {
  return new KagamiError('KAGAMI_BAD_OPTION', `option ${option} is ${show(value)}; expected ${expected}`, {
    details: { option, expected },
  })
}

/** For people, and short: a wrong value may be a whole client, or a megabyte of text. */
function show(value: unknown): string {
  if (typeof value === 'string') return shortened(JSON.stringify(value))
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return shortened(`${value}n`)
  if (typeof value !== 'object' || value === null) return String(value)
  // The fields of an instance say little, and may hold secrets.
  if (!Array.isArray(value) && !isPlain(value)) return Object.prototype.toString.call(value)
  try {
    return shortened(JSON.stringify(value))
  } catch {
    return 'an object'
  }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value) as object | null
  // By its place in the chain, since it may come from another realm.
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

function shortened(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}
