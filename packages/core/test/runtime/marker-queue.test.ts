/** S6: what `sync()` waits for is a marker whose append began after the call. */
import { expect, test } from 'vitest'
import { KagamiError, type TokenLog } from '../../src/contract/index.js'
import { decodeFrame } from '../../src/engine/frame.js'
import { MarkerQueue } from '../../src/runtime/marker-queue.js'
import { systemClock, systemRandom } from '../../src/runtime/system-seams.js'
import { eventually } from './harness.js'

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

function queueOver(
  opened: { readonly log: TokenLog | undefined },
  maxWaiting = 10,
  appendTimeoutMs = 60_000,
  unheard: () => KagamiError | undefined = () => undefined,
): MarkerQueue {
  return new MarkerQueue({
    token: 'orders',
    clock: systemClock(),
    random: systemRandom(),
    limits: { retryMs: { first: 5, longest: 20 }, appendTimeoutMs, maxWaiting },
    log: () => opened.log,
    incarnation: () => 1,
    readTo: () => 0n,
    unheard,
    known: () => ({ incarnation: 1, index: 0 }),
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

test('a marker that the log took, and lost before it was read, is sent again until it is read, and no longer', async () => {
  const log = new Log()
  const queue = queueOver(log, 10, 20)
  const { which } = ended(queue.wait().reached)
  await eventually(() => log.nonces.length >= 3, 'it is sent again')
  expect(new Set(log.nonces).size).toBe(1)
  queue.read(log.nonces[0] as bigint)
  const sent = log.nonces.length
  await turn()
  expect([...which]).toEqual([0])
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(log.nonces).toHaveLength(sent)
})

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

test('while the read loop hears nothing, who waits is refused, and nothing is appended for who comes', async () => {
  const log = new Log()
  let silence: KagamiError | undefined
  const queue = queueOver(log, 10, 20, () => silence)
  const waits = queue.wait().reached
  silence = new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'nothing is heard', { retryable: true })
  await expect(waits).rejects.toBe(silence)
  const { length } = log.nonces
  await expect(queue.wait().reached).rejects.toBe(silence)
  expect(log.nonces.length).toBe(length)
  silence = undefined
  const again = queue.wait().reached
  queue.read(log.nonces.at(-1) as bigint)
  await again
})

test('who waits on a copy whose log never opens is refused, once it has not for too long; and one that opens is used', async () => {
  const silence = new KagamiError('KAGAMI_LOG_UNAVAILABLE', 'nothing is heard', { retryable: true })
  const unopened: { log: TokenLog | undefined } = { log: undefined }
  let heard: KagamiError | undefined
  const queue = queueOver(unopened, 10, 60_000, () => heard)
  const waits = queue.wait().reached
  let over = false
  const refused = expect(waits.finally(() => (over = true))).rejects.toBe(silence)
  await new Promise((resolve) => setTimeout(resolve, 60))
  expect(over).toBe(false)
  heard = silence
  await refused
  await expect(queue.wait().reached).rejects.toBe(silence)
  heard = undefined
  const { which } = ended(queue.wait().reached)
  const opened = new Log()
  unopened.log = opened.log
  await eventually(() => opened.nonces.length === 1, 'a marker is appended')
  queue.read(opened.nonces[0] as bigint)
  await turn()
  expect([...which]).toEqual([0])
})
