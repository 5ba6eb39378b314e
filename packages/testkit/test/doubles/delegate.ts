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
