/** The faults in an adapter's life, whatever it adapts, and the cases that must catch them. */
import { isKagamiError } from '@kagami/core/contract'
import type { Adapter, AdapterContext } from '@kagami/core/contract'
import { deaf, delegate, perWorld } from './delegate.js'

export interface BrokenLife<A> {
  readonly fault: string
  readonly wrap: (adapter: A, world: object) => A
  readonly caught: readonly string[]
}

/** `reach` is a call of the adapter that rejects during an outage. */
export function brokenLives<A extends Adapter>(reach: (adapter: A) => Promise<unknown>): readonly BrokenLife<A>[] {
  const changed = (adapter: A, changes: Partial<Adapter>): A => delegate(adapter, changes as Partial<A>)
  return [
    {
      fault: 'has no name',
      wrap: (adapter) => changed(adapter, { name: ' ' }),
      caught: ['an adapter has a name for messages'],
    },
    {
      fault: 'has no patience with a stop before its start',
      wrap: (adapter) => {
        let started = false
        return changed(adapter, {
          start: (context) => {
            started = true
            return adapter.start(context)
          },
          stop: async () => {
            if (!started) throw new Error('not started')
            await adapter.stop()
          },
        })
      },
      caught: ['stop may be called before start'],
    },
    {
      fault: 'can not be stopped twice',
      wrap: (adapter) => {
        let stopped = false
        return changed(adapter, {
          stop: async () => {
            if (stopped) throw new Error('stopped already')
            stopped = true
            await adapter.stop()
          },
        })
      },
      caught: ['stop may be called twice'],
    },
    {
      fault: 'can not be stopped while it starts',
      wrap: (adapter) => {
        let starting: Promise<void> | undefined
        return changed(adapter, {
          start: (context: AdapterContext) => {
            starting = adapter.start(context).finally(() => (starting = undefined))
            return starting
          },
          stop: async () => {
            if (starting !== undefined) throw new Error('still starting')
            await adapter.stop()
          },
        })
      },
      caught: ['stop may be called during start, and both settle'],
    },
    {
      fault: 'starts though it was told not to',
      wrap: (adapter) => changed(adapter, { start: (context) => adapter.start({ ...context, signal: deaf() }) }),
      caught: ['a start whose signal aborts rejects with the reason'],
    },
    {
      fault: 'keeps its place when its start was aborted',
      wrap: perWorld(() => {
        let taken = false
        return (adapter) =>
          changed(adapter, {
            start: async (context) => {
              if (taken) throw new Error('the place is taken')
              taken = context.signal.aborted
              await adapter.start(context)
            },
          })
      }),
      caught: ['a start whose signal aborts rejects with the reason, and another adapter can start'],
    },
    {
      fault: 'keeps its place when it is stopped',
      wrap: perWorld(() => {
        let taken = false
        return (adapter) =>
          changed(adapter, {
            start: async (context) => {
              if (taken) throw new Error('the place is taken')
              taken = true
              await adapter.start(context)
            },
          })
      }),
      caught: ['an adapter can be opened again after another was stopped'],
    },
    {
      fault: 'does not stop during an outage',
      wrap: (adapter) => {
        let started = false
        return changed(adapter, {
          start: async (context) => {
            await adapter.start(context)
            started = true
          },
          stop: async () => {
            for (let tries = 0; started && tries < 100; tries++) {
              const reached = await reach(adapter).catch((error: unknown) => error)
              if (!isKagamiError(reached) || !reached.code.endsWith('_UNAVAILABLE')) break
              await new Promise((resolve) => setTimeout(resolve, 20))
            }
            await adapter.stop()
          },
        })
      },
      caught: ['stop settles during an outage'],
    },
  ]
}
