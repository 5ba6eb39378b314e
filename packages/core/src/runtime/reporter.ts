/**
 * Tells the controller how this node's copies are: one document per bucket, written when something changed, at once for changes of
 * role and health, every few seconds for mere progress. How far copies had come in earlier runs of the node is kept: what they had applied was in the log.
 */
import { comparePositions, isKagamiError, type Document, type KagamiError, type Session } from '../contract/index.js'
import { bucketOf, reportDocument, type CopyReport } from '../engine/documents.js'
import { keepWatching } from './membership.js'
import type { Settings } from './options.js'
import { allEnded, backoffMs, rest, sleep, Wakeup } from './waiting.js'

const REFRESH_MS = 1_000
/** Progress alone decides only between copies that are all behind, so it need not be new; and every write wakes all nodes up. */
const PROGRESS_MS = 5_000
/** It rests for as long as its writing took, but no longer than this for each document: a single slow one is no load, and what is to be told next may be waited for. */
const REST_PER_DOCUMENT_MS = 1

/** What a bucket's document holds, as far as this node knows. */
interface Written {
  readonly reports: readonly CopyReport[]
  /** Empty when that is not known. */
  readonly text: string
  /** The same without progress. */
  readonly status: string
  readonly atMs: number
  /** -1: there is none. */
  readonly version: number
  /** Undefined when they are not known. */
  readonly bytes: Uint8Array | undefined
}

interface Change {
  readonly bucket: string
  readonly document: { readonly member: string; readonly tokens: readonly CopyReport[] }
  readonly next: Omit<Written, 'version' | 'bytes'>
}

export class Reporter {
  readonly #settings: Settings<never, never>
  readonly #reports: (concerns: (token: string) => boolean) => Iterable<CopyReport>
  readonly #wakeup = new Wakeup()
  /** The buckets in which something may be worth telling at once. */
  readonly #changed = new Set<string>()
  /** All of them are to be looked at: with very many copies that takes long. */
  #all = true
  #trouble: KagamiError | undefined

  /** `reports` gives those of the tokens that it is asked for. */
  constructor(
    settings: Settings<never, never>,
    reports: (concerns: (token: string) => boolean) => Iterable<CopyReport>,
  ) {
    this.#settings = settings
    this.#reports = reports
  }

  /** Why reports can't be written now, where that lasts. */
  get trouble(): KagamiError | undefined {
    return this.#trouble
  }

  /** Something worth telling at once has happened to the token's copy; undefined: to any. */
  changed(token?: string): void {
    if (token === undefined) this.#all = true
    else this.#changed.add(bucketOf(token))
    this.#wakeup.wake()
  }

  /** Reports for one session. */
  async run(session: Session, member: string, signal: AbortSignal): Promise<void> {
    const written = new Map<string, Written>()
    const doubtful = new Set<string>()
    this.#all = true
    await Promise.all([
      this.#follow(session, written, doubtful, signal),
      this.#write(session, member, written, doubtful, signal),
    ])
  }

  /** Watches for reports that the coordinator has lost, damaged, or brought back from long ago: nobody else would write them again. */
  async #follow(
    session: Session,
    written: Map<string, Written>,
    doubtful: Set<string>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, random, logger } = this.#settings.seams
    await keepWatching(
      () => session.watch(this.#name(''), { signal }),
      (documents) => {
        for (const [bucket, last] of written) {
          if (shows(documents.get(this.#name(bucket)), last)) continue
          doubtful.add(bucket)
          this.#wakeup.wake()
        }
      },
      { clock, random, logger, signal, what: 'own reports' },
    )
  }

  async #write(
    session: Session,
    member: string,
    written: Map<string, Written>,
    doubtful: Set<string>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, random, logger } = this.#settings.seams
    let failures = 0
    let refreshedMs = -Infinity
    for (;;) {
      try {
        await this.#resolveDoubts(session, written, doubtful, signal)
        const startedMs = clock.monotonicMs()
        const all = this.#all || this.#changed.size === 0 || startedMs - refreshedMs >= REFRESH_MS
        const buckets = all ? undefined : new Set(this.#changed)
        if (all) refreshedMs = startedMs
        this.#all = false
        this.#changed.clear()
        const reports = this.#current(written, buckets)
        await this.#recall(session, reports.keys(), written, signal)
        const changes = this.#changes(member, written, reports)
        await allEnded(changes.map((change) => this.#writeOne(session, written, change, signal)))
        const tookMs = clock.monotonicMs() - startedMs
        await rest(clock, Math.min(tookMs, REST_PER_DOCUMENT_MS * changes.length), signal)
        failures = 0
        this.#trouble = undefined
      } catch (error) {
        this.#all = true
        signal.throwIfAborted()
        if (isKagamiError(error, 'KAGAMI_SESSION_LOST')) return
        // While there is no contact the lease tells it.
        if (isKagamiError(error) && error.code !== 'KAGAMI_COORDINATOR_UNAVAILABLE') this.#trouble = error
        failures += 1
        if (failures === 1) logger.warn("this node's report could not be written; trying again", { error })
        await sleep(clock, backoffMs(failures, { first: 20, longest: 1000 }, random), signal)
        continue
      }
      await this.#wakeup.wait(clock, REFRESH_MS, signal)
    }
  }

  /** A watch may be late, so what it shows is only a reason to look. */
  async #resolveDoubts(
    session: Session,
    written: Map<string, Written>,
    doubtful: Set<string>,
    signal: AbortSignal,
  ): Promise<void> {
    for (const bucket of [...doubtful]) {
      const document = await session.read(this.#name(bucket), { signal })
      doubtful.delete(bucket)
      const last = written.get(bucket)
      if (last !== undefined && shows(document, last)) continue
      written.set(bucket, unknown(document?.version ?? -1, last?.reports))
      this.#changed.add(bucket)
    }
  }

  /** What an earlier run of this node has told, before it is written over. */
  async #recall(
    session: Session,
    buckets: Iterable<string>,
    written: Map<string, Written>,
    signal: AbortSignal,
  ): Promise<void> {
    const { logger } = this.#settings.seams
    const recall = async (bucket: string): Promise<void> => {
      const name = this.#name(bucket)
      const document = await session.read(name, { signal })
      let reports: readonly CopyReport[] = []
      try {
        if (document !== undefined) reports = reportDocument.decode(document.bytes, name).tokens
      } catch (error) {
        logger.warn(`the document ${name} can't be read, and is written anew`, { error })
      }
      written.set(bucket, unknown(document?.version ?? -1, reports))
    }
    await allEnded([...buckets].filter((bucket) => !written.has(bucket)).map(recall))
  }

  #name(bucket: string): string {
    return `reports/${this.#settings.node.id}/${bucket}`
  }

  /** What there is to tell now, by bucket: of all, or of those. */
  #current(
    written: ReadonlyMap<string, Written>,
    only: ReadonlySet<string> | undefined,
  ): ReadonlyMap<string, readonly CopyReport[]> {
    const buckets = new Map<string, CopyReport[]>()
    for (const bucket of written.keys()) if (only?.has(bucket) ?? true) buckets.set(bucket, [])
    for (const report of this.#reports((token) => only?.has(bucketOf(token)) ?? true)) {
      const bucket = bucketOf(report.token)
      const list = buckets.get(bucket)
      if (list === undefined) buckets.set(bucket, [report])
      else list.push(report)
    }
    return buckets
  }

  /** The documents that are to be written. */
  #changes(
    member: string,
    written: ReadonlyMap<string, Written>,
    buckets: ReadonlyMap<string, readonly CopyReport[]>,
  ): readonly Change[] {
    const nowMs = this.#settings.seams.clock.monotonicMs()
    const changes: Change[] = []
    for (const [bucket, reports] of buckets) {
      const before = written.get(bucket)
      const tokens = reports.map((report) => withReached(report, before?.reports))
      const text = JSON.stringify(tokens)
      const status = JSON.stringify(tokens.map((report) => ({ ...report, nextIndex: 0, reached: null })))
      if (before?.text === text) continue
      if (before?.status === status && nowMs - before.atMs < PROGRESS_MS) continue
      changes.push({ bucket, document: { member, tokens }, next: { reports: tokens, text, status, atMs: nowMs } })
    }
    return changes
  }

  /**
   * Only this node writes its reports, but an earlier run of it may have left a version behind. Until it has ended nobody may write the same
   * document: it writes again over what it finds, newer or not.
   */
  async #writeOne(
    session: Session,
    written: Map<string, Written>,
    { bucket, document, next }: Change,
    signal: AbortSignal,
  ): Promise<void> {
    const name = this.#name(bucket)
    const bytes = reportDocument.encode(document)
    const known = written.get(bucket)?.version
    let expected = known === -1 ? undefined : known
    for (;;) {
      try {
        const version = await session.write(name, bytes, expected, { signal })
        written.set(bucket, { ...next, version, bytes })
        return
      } catch (error) {
        // Whatever it holds now, it is not known to be this: it must be written again.
        written.set(bucket, unknown(expected ?? -1, next.reports))
        if (!isKagamiError(error, 'KAGAMI_VERSION_CONFLICT')) throw error
        expected = (await session.read(name, { signal }))?.version
      }
    }
  }
}

/** A document that must be written again. */
function unknown(version: number, reports: readonly CopyReport[] = []): Written {
  return { reports, text: '', status: '', atMs: -Infinity, version, bytes: undefined }
}

/** Whether a document is as it was written. One that is damaged keeps its version. */
function shows(document: Document | undefined, { version, bytes }: Written): boolean {
  if ((document?.version ?? -1) !== version) return false
  return document === undefined || bytes === undefined || Buffer.compare(document.bytes, bytes) === 0
}

/** Copies may begin anew, far behind where they were: the log held what they had applied all the same. */
function withReached(report: CopyReport, before: readonly CopyReport[] | undefined): CopyReport {
  const told = before?.find(({ token }) => token === report.token)?.reached
  if (told === undefined || report.reached === undefined) return report
  return comparePositions(told, report.reached) > 0 ? { ...report, reached: told } : report
}
