/** Doubles that do what the working thing does, and say something else where it fails. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { KagamiErrorCode } from '@kagami/core/contract'

/** What is raised instead. */
type Change = (error: unknown) => unknown

/** Says the opposite about trying again, of errors of this code. */
export function contrary(code: KagamiErrorCode): Change {
  return (error) =>
    isKagamiError(error, code) ? new KagamiError(error.code, error.message, { retryable: !error.retryable }) : error
}

/** `inner` with other errors out of `method`, or out of every one; so are the handles and sessions that it gives. */
export function raising<T extends object>(inner: T, change: Change, method?: string): T {
  return new Proxy(inner, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target)
      if (typeof value !== 'function') return value
      const own = method === undefined || key === method
      return (...given: unknown[]): unknown => {
        const result = (value as (...given: unknown[]) => unknown).apply(target, given)
        if (isIterable(result)) return own ? iteration(result, change) : result
        if (!(result instanceof Promise)) return result
        return result.then(
          (found: unknown) => (isHandle(found) ? raising(found, change, method) : found),
          (error: unknown) => {
            throw own ? change(error) : error
          },
        )
      }
    },
  })
}

async function* iteration<T>(inner: AsyncIterable<T>, change: Change): AsyncGenerator<T, void, void> {
  try {
    yield* inner
  } catch (error) {
    throw change(error)
  }
}

function isIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** A log's handle, or a session. */
function isHandle(value: unknown): value is object {
  return typeof value === 'object' && value !== null && ('append' in value || 'campaign' in value)
}
