/** Coordinators with one fault each in what their watches show, and the cases of the suite that must catch it. */
import type { Document } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import { watches } from './broken-coordinator.js'
import { brokenSessions } from './delegate.js'

export const coordinatorsWithBrokenWatches: readonly BrokenCoordinator[] = [
  {
    fault: 'shows nothing any more where one document is damaged',
    wrap: watches(async function* (states) {
      for await (const documents of states)
        if ([...documents.values()].every(({ bytes }) => bytes.length > 0)) yield documents
    }),
    caught: ['a document that is damaged keeps its version, hides no others'],
  },
  {
    fault: 'drops the last change from its watches',
    wrap: watches(async function* (states) {
      let held: ReadonlyMap<string, Document> | undefined
      let first = true
      for await (const state of states) {
        if (first) yield state
        else if (held !== undefined) yield held
        held = first ? undefined : state
        first = false
      }
    }),
    caught: ['each change reaches every watch', 'after a burst of changes a watch ends at the last state'],
  },
  {
    fault: 'queues every state of its watches',
    wrap: (coordinator) => {
      return brokenSessions(coordinator, (session) => ({
        watch: async function* (prefix, options) {
          const queue: ReadonlyMap<string, Document>[] = []
          let wake = (): void => undefined
          const pump = async (): Promise<void> => {
            for await (const state of session.watch(prefix, options)) {
              queue.push(state)
              wake()
            }
          }
          pump().catch(() => undefined)
          for (;;) {
            options.signal.throwIfAborted()
            const state = queue.shift()
            if (state !== undefined) yield state
            else await new Promise<void>((resolve) => (wake = resolve))
          }
        },
      }))
    },
    caught: ['after a burst of changes a watch ends at the last state, with fewer states'],
  },
  {
    fault: 'shows only what has changed',
    wrap: watches(async function* (states) {
      let before: ReadonlyMap<string, Document> = new Map()
      for await (const state of states) {
        const known = before
        before = state
        yield new Map([...state].filter(([name, document]) => known.get(name) !== document))
      }
    }),
    caught: ['a document that has not changed is the same object'],
  },
  {
    fault: 'makes new objects for each state',
    wrap: watches(async function* (states) {
      for await (const state of states) yield new Map([...state].map(([name, document]) => [name, { ...document }]))
    }),
    caught: ['a document that has not changed is the same object as before'],
  },
  {
    fault: 'begins a watch with the first change',
    wrap: watches(async function* (states) {
      let first = true
      for await (const state of states) {
        if (!first) yield state
        first = false
      }
    }),
    caught: ['a watch begins with the present state', 'a watch shows the documents whose names start'],
  },
  {
    fault: 'takes a prefix for a folder',
    wrap: watches(async function* (states, prefix) {
      const folder = prefix === '' || prefix.endsWith('/') ? prefix : `${prefix}/`
      for await (const state of states) yield new Map([...state].filter(([name]) => name.startsWith(folder)))
    }),
    caught: ['a watch shows the documents whose names start with the prefix'],
  },
  {
    fault: 'shows documents in no order',
    wrap: watches(async function* (states) {
      for await (const state of states) yield new Map([...state].toReversed())
    }),
    caught: ['a watch shows the documents whose names start with the prefix, by name'],
  },
]
