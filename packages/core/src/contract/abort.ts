/**
 * What a call does with the signal that it is given. Each call of an adapter has one, and its caller may give thousands the same one.
 */
interface Listening {
  readonly listeners: Set<() => void>
  readonly tell: () => void
}

const listening = new WeakMap<AbortSignal, Listening>()

/**
 * Calls back once, when the signal aborts, unless the returned function was called before. Not for a signal that has aborted already, nor for a callback that may throw. A
 * node, or an application, has one signal for thousands of calls at a time, and an event target looks through all its listeners at each one that comes or goes: so it has
 * one, which tells them all.
 */
export function listenForAbort(signal: AbortSignal, onAbort: () => void): () => void {
  const { listeners, tell } = listening.get(signal) ?? beginListening(signal)
  // Also where one function listens twice.
  const listener = (): void => onAbort()
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    signal.removeEventListener('abort', tell)
    listening.delete(signal)
  }
}

function beginListening(signal: AbortSignal): Listening {
  const listeners = new Set<() => void>()
  const tell = (): void => {
    listening.delete(signal)
    // One may call off another.
    for (const listener of listeners) {
      listeners.delete(listener)
      listener()
    }
  }
  signal.addEventListener('abort', tell, { once: true })
  const begun = { listeners, tell }
  listening.set(signal, begun)
  return begun
}

/** The promise's outcome, or the signal's reason, whichever comes first. Nobody hears how the promise ends after that. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      promise.catch(() => undefined)
      return reject(signal.reason as Error)
    }
    const unlisten = listenForAbort(signal, () => reject(signal.reason as Error))
    promise.then(resolve, reject).finally(unlisten)
  })
}
