/**
 * Waits that a signal ends. A session, or an adapter, has one signal for all its calls, of which there may be thousands at once; and an
 * event target looks through all its listeners at each one that comes or goes. So the signal has one, which tells those that wait.
 */
interface Listening {
  readonly listeners: Set<() => void>
  readonly abort: () => void
}

const listening = new WeakMap<AbortSignal, Listening>()

/** Calls back when the signal aborts, until the returned function is called. Nothing of it stays behind on the signal. */
export function listenToAbort(signal: AbortSignal, listener: () => void): () => void {
  const { listeners, abort } = listening.get(signal) ?? begin(signal)
  listeners.add(listener)
  return () => {
    if (!listeners.delete(listener) || listeners.size > 0) return
    signal.removeEventListener('abort', abort)
    listening.delete(signal)
  }
}

function begin(signal: AbortSignal): Listening {
  const listeners = new Set<() => void>()
  const abort = (): void => {
    listening.delete(signal)
    const all = [...listeners]
    listeners.clear()
    for (const listener of all) listener()
  }
  signal.addEventListener('abort', abort, { once: true })
  const begun = { listeners, abort }
  listening.set(signal, begun)
  return begun
}

/** The promise's outcome, or the signal's reason, whichever comes first. The promise goes on by itself. */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason)
    if (signal.aborted) {
      promise.catch(() => undefined)
      abort()
      return
    }
    const unlisten = listenToAbort(signal, abort)
    promise.then(resolve, reject).finally(unlisten)
  })
}
