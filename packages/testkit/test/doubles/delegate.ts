/** How the broken doubles are made: a working thing, of which some methods are replaced. */
import type { CommitLog, Coordinator, Session, TokenLog } from '@kagami/core/contract'

/** `inner` in all but what `changes` replaces. */
export function delegate<T extends object>(inner: T, changes: Partial<T>): T {
  return new Proxy(inner, {
    get: (target, key) => {
      if (key in changes) return changes[key as keyof T]
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

/** A commit log whose handles are changed. */
export function brokenHandles(
  log: CommitLog,
  change: (handle: TokenLog, log: CommitLog) => Partial<TokenLog>,
): CommitLog {
  return delegate(log, {
    open: async (address, options) => {
      const handle = await log.open(address, options)
      return delegate(handle, change(handle, log))
    },
  })
}

/** A coordinator whose sessions are changed. */
export function brokenSessions(coordinator: Coordinator, change: (session: Session) => Partial<Session>): Coordinator {
  return delegate(coordinator, {
    connect: async (options) => {
      const session = await coordinator.connect(options)
      return delegate(session, change(session))
    },
  })
}

/** A signal that never aborts. */
export function deaf(): AbortSignal {
  return new AbortController().signal
}

/** Rejects with the signal's reason, as soon as there is one. */
export function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
  })
}

/** A wrapper whose adapters of one world share what `make` keeps, as the nodes of a cluster share a folder. */
export function perWorld<T>(make: () => (inner: T) => T): (inner: T, world: object) => T {
  const wrappers = new WeakMap<object, (inner: T) => T>()
  return (inner, world) => {
    const wrap = wrappers.get(world) ?? make()
    wrappers.set(world, wrap)
    return wrap(inner)
  }
}

/** Throws at the first call above so many. */
export function atMost(count: number): () => void {
  let left = count
  return () => {
    if (left === 0) throw new Error('too many at once')
    left -= 1
  }
}

/** Lets everything else that is due happen. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
