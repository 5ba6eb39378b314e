/** Coordinators with one fault each in whom they elect, and for how long, and the cases of the suite that must catch it. */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { BrokenCoordinator } from './broken-coordinator.js'
import { sessions, leaderships, endings } from './broken-coordinator.js'
import { deaf, delegate } from './delegate.js'

export const coordinatorsWithBrokenLeaders: readonly BrokenCoordinator[] = [
  {
    fault: 'has two leaders',
    wrap: sessions(() => ({
      campaign: async ({ signal }) => {
        signal.throwIfAborted()
        return { epoch: Date.now(), signal: deaf(), resign: async () => undefined }
      },
    })),
    caught: [
      'while there is a leader nobody else is elected',
      'of many candidates one leads at a time',
      'out of contact a leader’s signal aborts',
    ],
  },
  {
    fault: 'elects a successor while the old leader believes to lead',
    wrap: leaderships(() => ({ signal: deaf() })),
    caught: [
      'resign ends the leadership',
      'when the leader closes its session, its signal aborts',
      'when the leader’s adapter stops, its signal aborts',
      'an expired session’s member vanishes, and its leadership passes on',
      'out of contact a leader’s signal aborts before another is elected',
    ],
  },
  {
    fault: 'numbers every election alike',
    wrap: leaderships(() => ({ epoch: 1 })),
    caught: ['of many candidates one leads at a time', 'resign ends the leadership, is idempotent'],
  },
  {
    fault: 'calls every end of a leadership a resignation',
    wrap: endings(() => new KagamiError('KAGAMI_STOPPED', 'the leadership is closed')),
    caught: [
      'a leadership whose session is closed ended with KAGAMI_SESSION_LOST',
      'a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE',
    ],
  },
  {
    fault: 'calls every end of a leadership the end of its session',
    wrap: endings(() => new KagamiError('KAGAMI_SESSION_LOST', 'connect again')),
    caught: [
      'a leadership that was resigned ended with KAGAMI_STOPPED',
      'a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE',
    ],
  },
  {
    fault: 'says that a suspended leader need not campaign again',
    wrap: endings((reason) => {
      const unavailable = isKagamiError(reason, 'KAGAMI_COORDINATOR_UNAVAILABLE')
      return unavailable ? new KagamiError(reason.code, reason.message) : reason
    }),
    caught: ['a leadership that is lost out of contact ends with KAGAMI_COORDINATOR_UNAVAILABLE, to be tried again'],
  },
  {
    fault: 'keeps an aborted campaign as a candidate',
    wrap: sessions((session) => ({
      campaign: ({ signal }) =>
        new Promise((resolve, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason))
          if (signal.aborted) reject(signal.reason)
          else session.campaign({ signal: deaf() }).then(resolve, reject)
        }),
    })),
    caught: ['an aborted campaign rejects with the reason and is no candidate any more'],
  },
  {
    fault: 'has no successor for a leader that resigns',
    wrap: leaderships(() => ({ resign: async () => undefined })),
    caught: ['resign ends the leadership', 'of many candidates one leads at a time'],
  },
  {
    fault: 'ends a leadership at the first loss of contact',
    wrap: sessions((session) => ({
      campaign: async (options) => {
        const leadership = await session.campaign(options)
        const short = new AbortController()
        const probe = setInterval(() => {
          session.read('probe', { signal: deaf() }).catch(() => short.abort())
        }, 2)
        leadership.signal.addEventListener('abort', () => {
          clearInterval(probe)
          short.abort()
        })
        return delegate(leadership, { signal: short.signal })
      },
    })),
    caught: ['a short loss of contact costs nothing'],
  },
  {
    fault: 'makes a member of every candidate',
    wrap: sessions((session) => ({
      campaign: async (options) => {
        await session.join({ node: 'candidate', member: session.id, data: new Uint8Array() }, options)
        return session.campaign(options)
      },
    })),
    caught: ['a session may campaign without having joined, and a campaign makes no member'],
  },
  {
    fault: 'elects nobody who stands alone',
    wrap: sessions(() => ({
      campaign: ({ signal }) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    })),
    caught: ['a session that campaigns alone becomes the leader'],
  },
  {
    fault: 'takes a leader that resigns for one that has left',
    wrap: sessions((session) => ({
      campaign: async (options) => delegate(await session.campaign(options), { resign: () => session.close() }),
    })),
    caught: ['members and leaders are apart'],
  },
]
