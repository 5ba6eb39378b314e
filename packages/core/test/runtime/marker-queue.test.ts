/** S6: what `sync()` waits for is a marker whose append began after the call. */
import { expect, test } from 'vitest'
import type { TokenLog } from '../../src/contract/index.js'
import { decodeFrame } from '../../src/engine/frame.js'
import { MarkerQueue } from '../../src/runtime/marker-queue.js'
import { systemClock, systemRandom } from '../../src/runtime/system-seams.js'

/** Takes every append, and tells the nonces of the markers. */
class Log {
  readonly nonces: bigint[] = []
  readonly log = {
    address: 'log-1',
    append: (record: Uint8Array) => {
      const frame = decodeFrame(record)
      if (frame.kind === 'marker') this.nonces.push(frame.nonce)
      return Promise.resolve(BigInt(this.nonces.length))
    },
  } as unknown as TokenLog
}

function queueOver({ log }: Log, maxWaiting = 10): MarkerQueue {
  return new MarkerQueue({
    token: 'orders',
    clock: systemClock(),
    random: systemRandom(),
    limits: { retryMs: { first: 5, longest: 20 }, appendTimeoutMs: 1000, maxWaiting },
    log: () => log,
    incarnation: () => 1,
    readTo: () => 0n,
    onLostTail: (offset) => expect.unreachable(`nothing is lost at ${offset}`),
    signal: new AbortController().signal,
  })
}

function ended(...waits: Promise<void>[]): { readonly which: Set<number> } {
  const which = new Set<number>()
  waits.forEach((wait, i) => void wait.then(() => which.add(i)))
  return { which }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('who comes while a marker is under way waits for the next one, which all of them share', async () => {
  const log = new Log()
  const queue = queueOver(log)
  const first = queue.wait()
  const { which } = ended(first.reached, queue.wait().reached, queue.wait().reached)
  expect(log.nonces).toHaveLength(1)
  queue.read(log.nonces[0] as bigint)
  await turn()
  expect([...which]).toEqual([0])
  expect(log.nonces).toHaveLength(2)
  queue.read(log.nonces[0] as bigint)
  await turn()
  expect([...which]).toEqual([0])
  queue.read(log.nonces[1] as bigint)
  await turn()
  expect([...which]).toEqual([0, 1, 2])
  expect(log.nonces).toHaveLength(2)
})

test('after a jump over log that was not read, everyone waits for a new marker', async () => {
  const log = new Log()
  const queue = queueOver(log)
  const { which } = ended(queue.wait().reached, queue.wait().reached)
  queue.jumped()
  expect(log.nonces).toHaveLength(2)
  queue.read(log.nonces[0] as bigint)
  await turn()
  expect([...which]).toEqual([])
  queue.read(log.nonces[1] as bigint)
  await turn()
  expect([...which]).toEqual([0, 1])
})
