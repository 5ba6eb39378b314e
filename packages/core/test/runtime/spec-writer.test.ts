/** Specs that many change at once: what shares a write, and what each caller is told when that write fails, or nobody knows how it ended. */
import { expect, test } from 'vitest'
import { KagamiError, type Clock, type Session, type Timer } from '../../src/contract/index.js'
import { specDocument, type Spec } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import { SpecWriter } from '../../src/runtime/spec-writer.js'
import { SPEC } from '../engine/scenario.js'
import { delegate } from './harness.js'

const { signal } = new AbortController()

type Write = 'lands' | 'answer lost' | KagamiError

/** A coordinator of one document, whose writes wait until they are told how to end. */
class Documents {
  version: number | undefined
  specs: readonly Spec[] = []
  #kept: readonly string[] = []
  reads = 0
  /** With these the next reads fail. */
  failing: KagamiError[] = []
  readonly #writes: { readonly specs: readonly Spec[]; end(how: Write): void }[] = []
  #came: (() => void) | undefined

  readonly session = {
    read: () => {
      this.reads += 1
      const error = this.failing.shift()
      if (error !== undefined) return Promise.reject(error)
      if (this.version === undefined) return Promise.resolve(undefined)
      return Promise.resolve({
        name: 'd',
        version: this.version,
        bytes: specDocument.encode({ tokens: this.specs, writes: this.#kept }),
      })
    },
    write: (_name: string, bytes: Uint8Array, _expected: number | undefined, options: { signal: AbortSignal }) =>
      new Promise<number>((resolve, reject) => {
        const { tokens: specs, writes = [] } = specDocument.decode(bytes, 'd')
        options.signal.addEventListener('abort', () => reject(options.signal.reason))
        const end = (how: Write): void => {
          if (how instanceof KagamiError) return reject(how)
          this.specs = specs
          this.#kept = writes
          this.version = (this.version ?? 0) + 1
          if (how === 'lands') resolve(this.version)
          else reject(new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'the answer was lost', { retryable: true }))
        }
        this.#writes.push({ specs, end })
        this.#came?.()
      }),
  } as unknown as Session

  /** The next write, as soon as it comes. */
  async next(): Promise<{ readonly specs: readonly Spec[]; end(how: Write): void }> {
    for (;;) {
      const write = this.#writes.shift()
      if (write !== undefined) return write
      await new Promise<void>((resolve) => (this.#came = resolve))
    }
  }
}

function writerOver(documents: Documents, session = documents.session): SpecWriter {
  const { clock, random } = systemSeams()
  return new SpecWriter({ clock, random, session: () => session })
}

/** Names that share a bucket. */
const [first, second, third] = ['token-0', 'token-206', 'token-485'] as const

const named = (token: string, replicas = 1): Spec => ({ ...SPEC, token, replicas })

const raised = (spec: Spec | undefined): Spec => ({ ...spec!, replicas: spec!.replicas + 1 })

/** What a promise has come to by now, without waiting for it. */
function watched<T>(promise: Promise<T>): { outcome: string | T } {
  const seen: { outcome: string | T } = { outcome: 'open' }
  promise.then(
    (value) => (seen.outcome = value),
    (error: unknown) => (seen.outcome = error instanceof KagamiError ? error.code : String(error)),
  )
  return seen
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function menderOver(session: Session): SpecWriter {
  const { clock, random } = systemSeams()
  return new SpecWriter({ clock, random, session: () => session }, { anew: true })
}

/** A coordinator of one document of these bytes. */
function holding(bytes: Uint8Array): { readonly written: Uint8Array[]; readonly session: Session } {
  const written: Uint8Array[] = []
  const session = {
    read: () => Promise.resolve({ name: 'd', version: 3 + written.length, bytes: written.at(-1) ?? bytes }),
    write: (_name: string, next: Uint8Array, expected: number | undefined) => {
      expect(expected).toBe(3 + written.length)
      written.push(next)
      return Promise.resolve(3 + written.length)
    },
  } as unknown as Session
  return { written, session }
}

test('a damaged document is written anew, from its version, by who knows what belongs there', async () => {
  const { written, session } = holding(new Uint8Array(0))
  expect(await menderOver(session).update(first, signal, () => named(first))).toEqual(named(first))
  expect(written.map((bytes) => specDocument.decode(bytes, 'd').tokens)).toEqual([[named(first)]])
})

/** Its timers fire at the next turn, and its time goes by with them. */
class FastClock implements Clock {
  nowMs = 0

  now(): number {
    return 0
  }

  monotonicMs(): number {
    return this.nowMs
  }

  yield(): Promise<void> {
    return Promise.resolve()
  }

  timer(delayMs: number, callback: () => void): Timer {
    this.nowMs += delayMs
    setImmediate(callback)
    return { cancel: () => undefined }
  }
}

test('a change waits for a damaged document to be written anew, and is refused where nobody does', async () => {
  const { written, session } = holding(new Uint8Array(0))
  const { random } = systemSeams()
  const clock = new FastClock()
  const writer = new SpecWriter({ clock, random, session: () => session })
  const bad = { code: 'KAGAMI_BAD_DOCUMENT' }
  await expect(writer.update(first, signal, () => named(first))).rejects.toMatchObject(bad)
  expect(clock.nowMs).toBeGreaterThanOrEqual(10_000)
  expect(clock.nowMs).toBeLessThan(11_000)
  expect(written).toEqual([])
  const waiting = watched(writer.update(second, signal, (spec) => spec && raised(spec)))
  await turn()
  expect(waiting.outcome).toBe('open')
  await menderOver(session).update(second, signal, () => named(second))
  for (let i = 0; i < 10 && waiting.outcome === 'open'; i++) await turn()
  expect(waiting.outcome).toEqual(named(second, 2))
})

test('changes that wait for a damaged document wait together, and one that comes meanwhile has its whole wait', async () => {
  const { session } = holding(new Uint8Array(0))
  const { random } = systemSeams()
  const clock = new FastClock()
  const writer = new SpecWriter({ clock, random, session: () => session })
  const asks = async (token: string): Promise<{ readonly code: string; readonly afterMs: number }> => {
    const atMs = clock.nowMs
    const error: unknown = await writer.update(token, signal, () => named(token)).catch((error: unknown) => error)
    return { code: (error as KagamiError).code, afterMs: clock.nowMs - atMs }
  }
  // The first begins alone, and the others wait until it is settled.
  const together = Promise.all([first, second, third, second, first].map(asks))
  while (clock.nowMs < 5_000) await turn()
  const later = asks(third)
  for (const { code, afterMs } of [...(await together), await later]) {
    expect(code).toBe('KAGAMI_BAD_DOCUMENT')
    expect(afterMs).toBeGreaterThanOrEqual(10_000)
    expect(afterMs).toBeLessThan(11_000)
  }
})

test('a document of a newer format is not written anew', async () => {
  const { written, session } = holding(Buffer.from(JSON.stringify({ format: 2, what: 'specs' })))
  const put = menderOver(session).update(first, signal, () => named(first))
  await expect(put).rejects.toMatchObject({ code: 'KAGAMI_UNKNOWN_FORMAT' })
  expect(written).toEqual([])
})

test('what comes while a document is written goes along with its next write', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  const made = [first, second, third].map((token) => writer.update(token, signal, () => named(token)))
  ;(await documents.next()).end('lands')
  const together = await documents.next()
  expect(together.specs.map(({ token }) => token)).toEqual([first, second, third])
  together.end('lands')
  expect(await Promise.all(made)).toEqual([first, second, third].map((token) => named(token)))
  expect(documents.reads).toBe(2)
})

test('what rests on the write of another is told after that write, and asked again where it fails', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  const before = writer.update(first, signal, () => named(first))
  const creates = watched(writer.update(second, signal, (spec) => spec ?? named(second)))
  const finds = watched(writer.update(second, signal, (spec) => spec))
  const refused = writer.update(second, signal, (spec) => {
    if (spec !== undefined) throw new KagamiError('KAGAMI_TOKEN_OWNED', 'taken')
    return undefined
  })
  const refusal = watched(refused)
  ;(await documents.next()).end('lands')
  await before
  const conflict = new KagamiError('KAGAMI_VERSION_CONFLICT', 'somebody was faster')
  const write = await documents.next()
  await turn()
  expect([creates.outcome, finds.outcome, refusal.outcome]).toEqual(['open', 'open', 'open'])
  write.end(conflict)
  ;(await documents.next()).end('lands')
  await refused.catch(() => undefined)
  expect([creates.outcome, finds.outcome]).toEqual([named(second), named(second)])
  expect(refusal.outcome).toBe('KAGAMI_TOKEN_OWNED')
})

test('what landed without an answer is not done twice', async () => {
  const documents = new Documents()
  documents.version = 1
  documents.specs = [named(first), named(second)]
  const writer = writerOver(documents)
  const alone = writer.update(first, signal, raised)
  const both = [writer.update(first, signal, raised), writer.update(second, signal, raised)]
  ;(await documents.next()).end('answer lost')
  expect(await alone).toEqual(named(first, 2))
  ;(await documents.next()).end('answer lost')
  expect(await Promise.all(both)).toEqual([named(first, 3), named(second, 2)])
  expect(documents.specs).toEqual([named(first, 3), named(second, 2)])
})

test('nor is it where others have made something else of it since', async () => {
  const documents = new Documents()
  documents.version = 1
  documents.specs = [named(first)]
  let look = (): void => undefined
  let looks = Promise.resolve()
  const session = delegate<Session>(documents.session, {
    read: async (...call: Parameters<Session['read']>) => looks.then(() => documents.session.read(...call)),
  })
  const late = writerOver(documents, session).update(first, signal, (spec) => ({ ...spec!, replicas: 5 }))
  const write = await documents.next()
  looks = new Promise((resolve) => (look = resolve))
  write.end('answer lost')
  const other = writerOver(documents)
  for (let replicas = 11; replicas <= 41; replicas++) {
    const changed = other.update(first, signal, (spec) => ({ ...spec!, replicas }))
    ;(await documents.next()).end('lands')
    await changed
  }
  look()
  expect(await late).toEqual(named(first, 5))
  expect(documents.specs).toEqual([named(first, 41)])
})

test('nor is it where it takes several looks, one for each, to see that it landed', async () => {
  const documents = new Documents()
  documents.version = 1
  documents.specs = [named(first), named(second)]
  const writer = writerOver(documents)
  const alone = writer.update(first, signal, raised)
  const both = [writer.update(first, signal, raised), writer.update(second, signal, raised)]
  ;(await documents.next()).end('lands')
  await alone
  const write = await documents.next()
  documents.failing = [new KagamiError('KAGAMI_STORE_FULL', 'no room now', { retryable: true })]
  write.end('answer lost')
  expect(await Promise.all(both)).toEqual([named(first, 3), named(second, 2)])
  expect(documents.specs).toEqual([named(first, 3), named(second, 2)])
})

test('what a lost session, or one that does not answer, keeps from being written is asked for again', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  documents.failing = [
    new KagamiError('KAGAMI_SESSION_LOST', 'the session is over'),
    new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'no answer', { retryable: true }),
  ]
  const made = writer.update(first, signal, () => named(first))
  ;(await documents.next()).end('lands')
  expect(await made).toEqual(named(first))
  expect(documents.reads).toBe(3)
})

test('one that can not be written is refused alone', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  const before = writer.update(first, signal, () => named(first))
  const big = watched(writer.update(second, signal, () => named(second, 99)))
  const small = writer.update(third, signal, () => named(third))
  ;(await documents.next()).end('lands')
  await before
  const tooLarge = new KagamiError('KAGAMI_DOCUMENT_TOO_LARGE', 'too large')
  for (let i = 0; i < 3; i++) {
    const write = await documents.next()
    write.end(write.specs.some(({ replicas }) => replicas === 99) ? tooLarge : 'lands')
  }
  expect(await small).toEqual(named(third))
  expect(big.outcome).toBe('KAGAMI_DOCUMENT_TOO_LARGE')
  expect(documents.specs).toEqual([named(first), named(third)])
})

test('who gives up between two attempts is left out of the second', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  const leaving = new AbortController()
  const before = writer.update(first, signal, () => named(first))
  const left = writer.update(second, leaving.signal, () => named(second))
  const stays = writer.update(third, signal, () => named(third))
  ;(await documents.next()).end('lands')
  await before
  const write = await documents.next()
  leaving.abort(new Error('too late for me'))
  await expect(left).rejects.toThrow('too late for me')
  write.end(new KagamiError('KAGAMI_VERSION_CONFLICT', 'somebody was faster'))
  ;(await documents.next()).end('lands')
  expect(await stays).toEqual(named(third))
  expect(documents.specs).toEqual([named(first), named(third)])
})

test('who gives up before the write is left out of it; who gives up during it is told so, and holds nobody up', async () => {
  const documents = new Documents()
  const writer = writerOver(documents)
  const [early, late] = [new AbortController(), new AbortController()]
  const before = writer.update(first, late.signal, () => named(first))
  const left = writer.update(second, early.signal, () => named(second))
  const stays = writer.update(third, signal, () => named(third))
  early.abort(new Error('too late for me'))
  await expect(left).rejects.toThrow('too late for me')
  await documents.next()
  late.abort(new Error('nor for me'))
  await expect(before).rejects.toThrow('nor for me')
  ;(await documents.next()).end('lands')
  expect(await stays).toEqual(named(third))
  expect(documents.specs).toEqual([named(third)])
})
