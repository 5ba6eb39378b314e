/** A stop waits for what was begun, also where its caller has given it up: it may still write into the folder. */
import { expect, it } from 'vitest'
import { AdapterLife } from '../src/adapter-life.js'
import type { Documents } from '../src/documents.js'
import { Pulse } from '../src/pulse.js'
import { EmbeddedSession } from '../src/session.js'
import type { SessionParts } from '../src/session.js'
import { options, silent } from './support.js'

/** Work that ends when it is told to, and when that was. */
function gated(order: string[]) {
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => (open = resolve))
  return { open, work: () => gate.then(() => void order.push('the work has ended')) }
}

const turns = () => new Promise((resolve) => setImmediate(resolve))

it('an adapter is closed only when its calls have ended', async () => {
  const order: string[] = []
  const { open, work } = gated(order)
  const life = new AdapterLife(
    'it',
    () => Promise.resolve('opened'),
    () => Promise.resolve(void order.push('it is closed')),
  )
  await life.start({ cluster: 'test', node: 'a', logger: silent, signal: options.signal })
  const giveUp = new AbortController()
  const call = life.call(giveUp.signal, work)
  giveUp.abort(new Error('given up'))
  await expect(call).rejects.toThrow('given up')
  const stopped = life.stop()
  await turns()
  expect(order).toEqual([])
  open()
  await stopped
  expect(order).toEqual(['the work has ended', 'it is closed'])
})

it('a session is closed only when its calls have ended', async () => {
  const order: string[] = []
  const { open, work } = gated(order)
  const parts = {
    files: { beat: () => Promise.resolve(true), remove: () => Promise.resolve() },
    documents: { write: work } as unknown as Documents,
    documentChanges: new Pulse(),
    officeChanges: new Pulse(),
    maxDocumentBytes: 1000,
    logger: silent,
    path: 'a folder',
    tell: () => undefined,
    closed: () => undefined,
  } as unknown as SessionParts
  const session = new EmbeddedSession('one', 60_000, performance.now(), parts)
  const giveUp = new AbortController()
  const write = session.write('x', Buffer.from('x'), undefined, giveUp)
  giveUp.abort(new Error('given up'))
  await expect(write).rejects.toThrow('given up')
  const closed = session.close().then(() => order.push('it is closed'))
  await turns()
  expect(order).toEqual([])
  open()
  await closed
  expect(order).toEqual(['the work has ended', 'it is closed'])
})
