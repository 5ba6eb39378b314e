/** The few assertions that the suites share. Depends on no runner. */
import assert from 'node:assert/strict'
import { isKagamiError } from '@kagami/core/contract'
import type { KagamiErrorCode } from '@kagami/core/contract'
import { retryable } from './retryable.js'
import type { Scope } from './runner.js'

/** The promise rejects with a Kagami error of this code, which is retryable as the contract says. */
export async function rejectsWith(
  scope: Scope,
  promise: Promise<unknown>,
  code: KagamiErrorCode,
  what: string,
): Promise<void> {
  isError(await rejection(scope, promise, what), code, `${what} rejected`)
}

/** Nothing is made up while nobody answers: within the quiet time the promise stays pending, or rejects like `rejectsWith`. */
export async function unanswered(
  scope: Scope,
  promise: Promise<unknown>,
  code: KagamiErrorCode,
  what: string,
): Promise<void> {
  let error: unknown
  const answer = promise.catch((reason: unknown) => {
    error = reason
    throw reason
  })
  await scope.staysPending(answer, what)
  if (error !== undefined) isError(error, code, `${what} rejected`)
}

/** The promise rejects with this very object. */
export async function rejectsWithReason(
  scope: Scope,
  promise: Promise<unknown>,
  reason: unknown,
  what: string,
): Promise<void> {
  const error = await rejection(scope, promise, what)
  assert.ok(error === reason, `${what} rejected with ${describe(error)}, expected the reason itself`)
}

/** The signal has aborted, with a Kagami error of this code, which is retryable as the contract says. */
export function endedWith(signal: AbortSignal, code: KagamiErrorCode, what: string): void {
  assert.equal(signal.aborted, true, `${what} has not ended`)
  isError(signal.reason, code, `${what} ended`)
}

/** `what` is a whole beginning of a sentence, such as `append() rejected`. */
export function isError(error: unknown, code: KagamiErrorCode, what: string): void {
  assert.ok(isKagamiError(error, code), `${what} with ${describe(error)}, expected ${code}`)
  const expected = retryable[code]
  if (expected === undefined) return
  assert.equal(error.retryable, expected, `${what} with ${code}, which must ${expected ? '' : 'not '}be retryable`)
}

async function rejection(scope: Scope, promise: Promise<unknown>, what: string): Promise<unknown> {
  const outcome = await scope.within(
    promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    ),
    what,
  )
  if ('value' in outcome) assert.fail(`${what} resolved, expected a rejection`)
  return outcome.error
}

/** The next value of an iteration that must not have ended. */
export async function nextOf<T>(scope: Scope, iterator: AsyncIterator<T>, what: string): Promise<T> {
  const step = await scope.within(iterator.next(), what)
  if (step.done === true) assert.fail(`${what}: the iteration ended`)
  return step.value
}

/** Reads on until a value satisfies the condition, and gives that value. */
export async function until<T>(
  scope: Scope,
  iterator: AsyncIterator<T>,
  condition: (value: T) => boolean,
  what: string,
): Promise<T> {
  const search = async (): Promise<T> => {
    for (let values = 1; ; values++) {
      const value = await nextOf(scope, iterator, what)
      if (condition(value)) return value
      // An adapter that yields without ever waiting must not keep the limit's timer from firing.
      if (values % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
  }
  return scope.within(search(), what)
}

/** An iterator over an iterable whose reading ends with the case. */
export function iterate<T>(scope: Scope, iterable: AsyncIterable<T>): AsyncIterator<T> {
  const iterator = iterable[Symbol.asyncIterator]()
  scope.defer(async () => {
    await iterator.return?.().catch(() => undefined)
  })
  return iterator
}

export function equalBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  const equal = Buffer.compare(actual, expected) === 0
  assert.ok(equal, `${what}: ${actual.byteLength} bytes are not the ${expected.byteLength} bytes that were expected`)
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function describe(error: unknown): string {
  if (isKagamiError(error)) return error.code
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
