import { expect, test } from 'vitest'
import { KagamiError, type Clock, type Document, type Position, type Session } from '../../src/contract/index.js'
import { bucketOf, reportDocument, type CopyReport } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import type { Settings } from '../../src/runtime/options.js'
import { Reporter } from '../../src/runtime/reporter.js'
import { sleep } from '../../src/runtime/waiting.js'
import { delegate, eventually } from './harness.js'
import { ManualClock } from './manual-clock.js'

const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }

/** A session that keeps what was written last, and a clock whose timers fire at once while its time stands still. */
function world(): {
  readonly session: Session
  readonly settings: Settings<never, never>
  readonly elapsed: { ms: number; looks: number }
  readonly writes: CopyReport[]
  /** Shows the document as this, without any write. */
  show(document: Document): void
  shown(): Document | undefined
} {
  const elapsed = { ms: 0, looks: 0 }
  const writes: CopyReport[] = []
  const documents = new Map<string, Document>()
  let changed = (): void => undefined
  const clock: Clock = {
    ...systemSeams().clock,
    monotonicMs: () => elapsed.ms,
    timer: (_, callback) => {
      const immediate = setImmediate(() => {
        elapsed.looks += 1
        callback()
      })
      return { cancel: () => clearImmediate(immediate) }
    },
  }
  const session = {
    write: async (name: string, bytes: Uint8Array) => {
      const version = (documents.get(name)?.version ?? 0) + 1
      documents.set(name, { name, version, bytes })
      writes.push(...reportDocument.decode(bytes, name).tokens)
      return version
    },
    read: async (name: string) => documents.get(name),
    watch: (_: string, { signal }: { readonly signal: AbortSignal }) => ({
      async *[Symbol.asyncIterator]() {
        for (;;) {
          await new Promise<void>((resolve, reject) => {
            changed = resolve
            signal.addEventListener('abort', () => reject(signal.reason as Error))
          })
          yield new Map(documents)
        }
      },
    }),
  } as unknown as Session
  const settings = { node: { id: 'a' }, seams: { ...systemSeams(), clock, logger } } as unknown as Settings<
    never,
    never
  >
  const show = (document: Document): void => {
    documents.set(document.name, document)
    changed()
  }
  return { session, settings, elapsed, writes, show, shown: () => documents.get(name) }
}

const name = `reports/a/${bucketOf('orders')}`

const at = (index: number, incarnation = 1): Position => ({ incarnation, index })

const COPY: CopyReport = {
  token: 'orders',
  incarnation: 1,
  epoch: 1,
  nextIndex: 1,
  reached: { incarnation: 1, index: 1 },
  phase: 'running',
  inSync: true,
  cutOff: false,
  snapshotFails: false,
  serving: 0,
  seen: null,
  error: null,
}

test('mere progress is reported every few seconds, a change of role or health at once', async () => {
  const { session, settings, elapsed, writes } = world()
  let report = COPY
  const reporter = new Reporter(settings, () => [report])
  const end = new AbortController()
  const running = reporter.run(session, 'a.1', end.signal)
  const looksAgain = async (): Promise<void> => {
    const looks = elapsed.looks
    await eventually(() => elapsed.looks > looks + 2, 'it looks again')
  }
  await eventually(() => writes.length === 1, 'the first report')

  report = { ...report, nextIndex: 2, reached: at(2) }
  elapsed.ms = 4_999
  await looksAgain()
  expect(writes.length).toBe(1)
  elapsed.ms = 5_000
  await looksAgain()
  expect(writes.map(({ nextIndex }) => nextIndex)).toEqual([1, 2])

  report = { ...report, serving: 1, nextIndex: 3, reached: at(3) }
  reporter.changed('orders')
  await looksAgain()
  expect(writes.at(-1)).toEqual(report)
  end.abort(new Error('over'))
  await expect(running).rejects.toThrow('over')
})

test('what earlier runs of the node have told of an incarnation stands on, however far behind its copy begins', async () => {
  const { session, settings, writes } = world()
  const runs = async (report: CopyReport): Promise<CopyReport | undefined> => {
    const before = writes.length
    const end = new AbortController()
    const running = new Reporter(settings, () => [report]).run(session, 'a.1', end.signal)
    await eventually(() => writes.length > before, 'a report')
    end.abort(new Error('over'))
    await expect(running).rejects.toThrow('over')
    return writes.at(-1)
  }
  await runs({ ...COPY, nextIndex: 20, reached: at(20) })
  // It has read nothing yet, so it knows no incarnation either.
  const first = await runs({ ...COPY, incarnation: 0, nextIndex: 0, reached: at(0, 0) })
  expect(first).toMatchObject({ incarnation: 0, nextIndex: 0, reached: at(20) })
  expect(await runs({ ...COPY, nextIndex: 10, reached: at(10) })).toMatchObject({ nextIndex: 10, reached: at(20) })
  expect(await runs({ ...COPY, nextIndex: 21, reached: at(21) })).toMatchObject({ nextIndex: 21, reached: at(21) })
  expect(await runs({ ...COPY, incarnation: 3, nextIndex: 2, reached: at(2, 3) })).toMatchObject({
    nextIndex: 2,
    reached: at(2, 3),
  })
})

test.each([
  ['as long as its writing took', 1_000, [0, 200, 400]],
  ['no longer than a millisecond for a document, however slow its write was', 1, [0, 101, 202, 303, 404]],
])('it rests for %s before it tells what has changed meanwhile', async (_, tokens, begun) => {
  const { session, settings } = world()
  const clock = new ManualClock()
  const begunAtMs = new Set<number>()
  const slow = delegate(session, {
    write: async (...call: Parameters<Session['write']>) => {
      begunAtMs.add(clock.now())
      await sleep(clock, 100, new AbortController().signal)
      return session.write(...call)
    },
  })
  let serving = 0
  const reports = (): CopyReport[] =>
    Array.from({ length: tokens }, (_, index) => ({ ...COPY, token: `orders-${index}`, serving }))
  const reporter = new Reporter({ ...settings, seams: { ...settings.seams, clock } }, reports)
  const end = new AbortController()
  const running = reporter.run(slow, 'a.1', end.signal)
  for (let ms = 0; ms < 500; ms += 10) {
    serving += 1
    reporter.changed()
    await clock.advance(10)
  }
  expect([...begunAtMs]).toEqual(begun)
  const ended = expect(running).rejects.toThrow('over')
  end.abort(new Error('over'))
  await clock.advance(100)
  await ended
})

test('a document is told anew only after its write has ended, though that of another has failed before', async () => {
  const { session, settings } = world()
  const clock = new ManualClock()
  const OTHER = 'orders-1'
  expect(bucketOf(OTHER)).not.toBe(bucketOf('orders'))
  const told: (readonly [what: 'asked' | 'answered', serving: number])[] = []
  let fails = true
  const flaky = delegate(session, {
    write: async (...call: Parameters<Session['write']>) => {
      const [document, bytes] = call
      const report = reportDocument.decode(bytes, document).tokens[0]
      if (report?.token === OTHER) {
        if (fails) throw new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'no contact', { retryable: true })
      } else {
        told.push(['asked', report?.serving ?? -1])
        await sleep(clock, 500, new AbortController().signal)
        told.push(['answered', report?.serving ?? -1])
      }
      return session.write(...call)
    },
  })
  let serving = 1
  const reports = (): CopyReport[] => [
    { ...COPY, serving },
    { ...COPY, token: OTHER, serving },
  ]
  const reporter = new Reporter({ ...settings, seams: { ...settings.seams, clock } }, reports)
  const end = new AbortController()
  const running = reporter.run(flaky, 'a.1', end.signal)
  await clock.advance(100)
  serving = 2
  fails = false
  reporter.changed()
  await clock.advance(1_400)
  expect(told).toEqual([
    ['asked', 1],
    ['answered', 1],
    ['asked', 2],
    ['answered', 2],
  ])
  const ended = expect(running).rejects.toThrow('over')
  end.abort(new Error('over'))
  await clock.advance(1_000)
  await ended
})

test('an earlier document that can not be read is written anew', async () => {
  const { session, settings, writes } = world()
  const end = new AbortController()
  const running = new Reporter(settings, () => [COPY]).run(
    delegate(session, { read: async (name: string) => ({ name, version: 1, bytes: Buffer.from('{') }) }),
    'a.1',
    end.signal,
  )
  await eventually(() => writes.length === 1, 'a report')
  expect(writes).toEqual([COPY])
  end.abort(new Error('over'))
  await expect(running).rejects.toThrow('over')
})

test.each([
  ['without any bytes', () => new Uint8Array(0)],
  ['as it was before its last change', (first: Uint8Array) => first],
])(
  'a document that is shown %s, under the version of that, is written anew, with what earlier runs have told',
  async (_, damaged) => {
    const { session, settings, writes, show, shown } = world()
    const told = { ...COPY, nextIndex: 10, reached: at(20) }
    const first = reportDocument.encode({ member: 'a.0', tokens: [told] })
    await session.write(name, first, undefined, { signal: new AbortController().signal })
    const end = new AbortController()
    const running = new Reporter(settings, () => [{ ...told, reached: at(10) }]).run(session, 'a.1', end.signal)
    await eventually(() => writes.length === 2, 'a report')
    show({ name, version: 2, bytes: damaged(first) })
    await eventually(() => writes.length === 3, 'it is written anew')
    expect(shown()?.version).toBe(3)
    expect(reportDocument.decode(shown()!.bytes, name)).toMatchObject({ member: 'a.1', tokens: [told] })
    end.abort(new Error('over'))
    await expect(running).rejects.toThrow('over')
  },
)
