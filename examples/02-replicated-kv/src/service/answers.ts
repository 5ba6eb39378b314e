/** What the service says when something is wrong, and how sure the client can be that its write had no effect. */
import { isKagamiError, type Position } from 'kagami'

/** Whether a write that failed took effect: surely not, surely, or nobody knows yet. */
export type Applied = 'no' | 'yes' | 'unknown'

/** An answer that ends a request early. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly status: 400 | 404 | 409 | 412 | 413 | 500 | 503 | 504
  readonly code: string
  readonly applied: Applied

  constructor(status: Refusal['status'], code: string, message: string, applied: Applied = 'no') {
    super(message)
    this.status = status
    this.code = code
    this.applied = applied
  }
}

/** The answer for whatever a write or a read was rejected with. `deadline` is the signal that ends the request. */
export function refusalOf(error: unknown, deadline: AbortSignal): Refusal {
  if (error instanceof Refusal) return error
  if (isKagamiError(error)) {
    switch (error.code) {
      case 'KAGAMI_INDETERMINATE':
        return new Refusal(504, error.code, error.message, 'unknown')
      case 'KAGAMI_APPLY_FAILED':
        return new Refusal(500, error.code, error.message, 'yes')
      case 'KAGAMI_ENTRY_TOO_LARGE':
        return new Refusal(413, error.code, error.message)
      default:
        return new Refusal(503, error.code, error.message)
    }
  }
  // A write that was sealed before its deadline is rejected as indeterminate: what ends with the signal's reason had no effect.
  if (deadline.aborted) return new Refusal(503, 'KV_TIMEOUT', 'the request did not end within its time; try again')
  return new Refusal(500, 'KV_BUG', `an unexpected error: ${String(error)}`, 'unknown')
}

/** `kv-03@1.42`: a position, and the token that it is in. */
export function formatPosition(token: string, { incarnation, index }: Position): string {
  return `${token}@${incarnation}.${index}`
}

export function parsePosition(text: string): { readonly token: string; readonly position: Position } {
  const match = /^([\w.-]+)@(\d{1,15})\.(\d{1,15})$/.exec(text)
  if (match?.[1] === undefined) {
    throw new Refusal(
      400,
      'KV_BAD_POSITION',
      `"${text}" is no position; expected one that a write has answered, as kv-03@1.42`,
    )
  }
  return { token: match[1], position: { incarnation: Number(match[2]), index: Number(match[3]) } }
}
