/**
 * The read loop of one copy: opens its log, lets it be restored, and reads on for ever. It alone moves the copy's place in the log, and what
 * is in force there. What a frame means to the state machine, to callers and to the role is its listener's business.
 */
import {
  isKagamiError,
  KagamiError,
  type CommitLog,
  type LogRecord,
  type Offset,
  type ReadOptions,
  type SnapshotStore,
  type StateMachine,
  type TokenLog,
} from '../contract/index.js'
import { admit, emptyState, type CopyState } from '../engine/admission.js'
import { knownEntries, type Assignment } from '../engine/documents.js'
import {
  decodeFrame,
  recordChecksum,
  type BarrierFrame,
  type DataFrame,
  type Frame,
  type OpenFrame,
} from '../engine/frame.js'
import { asFailure, diverged, lostTail, replaced, unopened } from './copy-errors.js'
import type { CopyProgress } from './copy-progress.js'
import type { Events } from './events.js'
import { closeLog } from './impatient.js'
import type { Listings } from './listings.js'
import { openLog } from './open-log.js'
import type { Settings } from './options.js'
import { matchesAnchor, restoreCopy, type Anchor, type RestoredCopy } from './restorer.js'
import { unlessStalled } from './stall.js'
import { Stillness } from './stillness.js'
import type { Turns } from './turns.js'
import { backoffMs, sleep } from './waiting.js'
import type { Watchdog, Watchdogs } from './watchdog.js'

/** The loop lets others have a turn after this long. */
const SLICE_MS = 4
const MAX_BATCH_BYTES = 1_048_576

/** A reader that hears nothing for so many looks was cut off. What the log has lost meanwhile may have been written anew. */
const MISSED_LOOKS = 3

/** Whoever truncates overtakes one or two restores. Where nothing can be read after so many in a row, restoring brings a copy on no longer. */
const MOST_OVERTAKEN = 3

/** What the loop tells, in the order of the log, and waits for: nothing here is asynchronous. */
export interface LogListener<R, C> {
  /** Its place is given up, and another looked for. */
  onRestoring(): void
  /** The restore waits for snapshots that can't be had. */
  onHindered(cause: unknown): void
  onRestored(restored: RestoredCopy<R, C>, tookMs: number): void
  /** Reading begins, or begins again. */
  onReading(): void
  /** The rest is told of frames that count. Those that don't are only counted by reason, but for a barrier, whose author waits for it. */
  onOpened(frame: OpenFrame): void
  onBarrier(frame: BarrierFrame): void
  onBarrierIgnored(frame: BarrierFrame): void
  onData(frame: DataFrame): void
  onMarker(nonce: bigint): void
  /** Others are about to have a turn within a batch. */
  onPause(): void
  onBatchEnd(): void
  /** It can't be read on, or restored, and never will be. */
  onUnreadable(error: KagamiError): void
  /** The state is lost: what is read from here on counts for what is pending alone, so it can't be restored. */
  failed(): boolean
  /** It has failed, and nothing is pending: there is nothing left to learn. */
  done(): boolean
}

export interface LogReaderContext<R, C> {
  readonly token: string
  readonly incarnation: number
  readonly settings: Settings<R, C>
  readonly commitLog: CommitLog
  readonly store: SnapshotStore
  /** Of the same store. */
  readonly listings: Listings
  readonly restoreTurns: Turns
  readonly watchdogs: Watchdogs
  readonly progress: CopyProgress
  readonly events: Events
  assignment(): Assignment
  newMachine(): StateMachine<R, C>
}

export class LogReader<R, C> {
  readonly #context: LogReaderContext<R, C>
  readonly #listener: LogListener<R, C>
  readonly #ignored = new Map<string, number>()
  #log: TokenLog | undefined
  #state: CopyState = emptyState()
  /** The last record that was read. */
  #anchor: Anchor | undefined
  #base: Anchor | undefined
  #from: Offset = 0n
  #readTo: Offset = 0n
  readonly #stillness: Stillness
  readonly #watchdog: Watchdog
  /** Why it could not come on the last time, until it does. */
  #trouble: KagamiError | undefined
  /** Restores in a row that truncation had overtaken before anything was read. */
  #overtaken = 0

  constructor(context: LogReaderContext<R, C>, listener: LogListener<R, C>) {
    this.#context = context
    this.#listener = listener
    this.#stillness = new Stillness(context.settings.seams.clock)
    this.#watchdog = context.watchdogs.watchdog()
  }

  /** Undefined until it is open. */
  get log(): TokenLog | undefined {
    return this.#log
  }

  /** What is in force at the place up to which it was read. */
  get state(): CopyState {
    return this.#state
  }

  /** The offset that is read next. */
  get readTo(): Offset {
    return this.#readTo
  }

  /** Where a snapshot of the present state may start to read again; undefined while there is no such place. */
  get base(): Anchor | undefined {
    return this.#base
  }

  /** How long it has not come on: opened nothing, restored nothing, and heard nothing, as it should at least every `lookMs`. Without the time in which it waits for its turn. */
  get stillMs(): number {
    return this.#stillness.ms
  }

  /** How long it may stand still until nobody here counts on it any more. */
  get patienceMs(): number {
    return Math.max(this.#context.settings.limits.appendTimeoutMs, this.#context.progress.boundMs)
  }

  /** Why it could not come on the last time, if it has been told; undefined once it does. */
  get trouble(): KagamiError | undefined {
    return this.#trouble
  }

  /** Frames that did not count, by reason. */
  get ignored(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#ignored)
  }

  /** Opens, restores and reads until the signal aborts, or nothing is left to learn. */
  async run(signal: AbortSignal): Promise<void> {
    const { token, progress } = this.#context
    const { limits, seams } = this.#context.settings
    let failures = 0
    let restored = false
    while (!signal.aborted) {
      const { lookedAtMs } = progress
      try {
        this.#log ??= await this.#open(signal)
        if (!restored) await this.#restore(this.#log, signal)
        restored = true
        await this.#readAll(this.#log, signal)
        return
      } catch (error) {
        if (signal.aborted) return
        if (isKagamiError(error, 'KAGAMI_LOG_TRUNCATED')) {
          if (this.#listener.failed()) return this.#listener.onUnreadable(error)
          seams.logger.info(`truncation has overtaken the copy of '${token}'; it is restored from a newer snapshot`)
          restored = false
          this.#overtaken += 1
          if (this.#overtakenOften) this.#trouble = error
        } else if (!isKagamiError(error) || !error.retryable) {
          return this.#listener.onUnreadable(asFailure(token, error))
        } else {
          this.#trouble = error
          seams.logger.warn(`the log of '${token}' can't be read now; trying again`, { error })
        }
        failures = progress.lookedAtMs === lookedAtMs ? failures + 1 : 0
        await sleep(seams.clock, backoffMs(failures, limits.retryMs, seams.random), signal)
      }
    }
  }

  async close(): Promise<void> {
    if (this.#log !== undefined) await this.#close(this.#log)
  }

  async #close(log: TokenLog): Promise<void> {
    const { limits, seams } = this.#context.settings
    const { clock, logger } = seams
    await closeLog(log, { clock, limitMs: limits.stallTimeoutMs, logger })
  }

  async #open(signal: AbortSignal): Promise<TokenLog> {
    const { token, commitLog } = this.#context
    const { address, identity } = this.#context.assignment().log
    const { limits, seams } = this.#context.settings
    const limit = { clock: seams.clock, limitMs: limits.stallTimeoutMs, signal, what: `opening the log of '${token}'` }
    const log = await unlessStalled(limit, ({ signal }) =>
      openLog(commitLog, address, { token, signal, logger: seams.logger }),
    )
    if (log.identity !== identity) {
      await this.#close(log)
      throw replaced(token, address)
    }
    this.#came()
    return log
  }

  #came(): void {
    this.#stillness.moved()
    this.#trouble = undefined
  }

  get #overtakenOften(): boolean {
    return this.#overtaken >= MOST_OVERTAKEN
  }

  async #restore(log: TokenLog, signal: AbortSignal): Promise<void> {
    const { token, incarnation, settings, store, listings, events, progress, restoreTurns } = this.#context
    const { limits, seams } = settings
    const { clock, random, logger } = seams
    const startedMs = clock.monotonicMs()
    this.#listener.onRestoring()
    const restored = await restoreCopy({
      token,
      incarnation,
      assigned: () => {
        const assignment = this.#context.assignment()
        return { epoch: assignment.epoch, entries: knownEntries(assignment) }
      },
      log,
      store,
      listings,
      newMachine: () => this.#context.newMachine(),
      clock,
      random,
      logger,
      retryMs: limits.retryMs,
      patienceMs: limits.restoreTimeoutMs,
      stallTimeoutMs: limits.stallTimeoutMs,
      maxBatchBytes: MAX_BATCH_BYTES,
      turns: restoreTurns,
      stillness: this.#overtakenOften ? new Stillness(clock) : this.#stillness,
      onProgress: (restoring) => events.emit('restoring', { token, ...restoring }),
      onHindered: (cause) => this.#listener.onHindered(cause),
      signal,
    })
    this.#state = restored.state
    this.#anchor = restored.anchor
    this.#base = restored.anchor
    this.#from = restored.from
    this.#readTo = restored.from
    if (!this.#overtakenOften) this.#came()
    progress.restart(restored.state.nextIndex)
    this.#listener.onRestored(restored, clock.monotonicMs() - startedMs)
  }

  async #readAll(log: TokenLog, signal: AbortSignal): Promise<void> {
    // Two of the largest records: the anchor, and one behind it.
    const mostBytes = Math.max(MAX_BATCH_BYTES, 2 * this.#context.commitLog.maxRecordBytes)
    let batchBytes = MAX_BATCH_BYTES
    let inVain = false
    for (;;) {
      const before = this.#readTo
      const attempt = { maxBatchBytes: batchBytes, inVain }
      const outcome = await this.#watchdog.guard(signal, (signal) => this.#readOn(log, attempt, signal))
      if (outcome === 'done') return
      signal.throwIfAborted()
      if (outcome === 'deaf') this.#onDeaf()
      // Where each batch comes late, only the first, which holds the anchor, brings it on: it must hold more than that, or what comes late be used after all.
      inVain = this.#readTo === before
      batchBytes = inVain ? Math.min(mostBytes, 2 * batchBytes) : MAX_BATCH_BYTES
    }
  }

  /**
   * Ends when nothing is left to learn, or when it was cut off: then it is to begin again at the anchor, before it counts on anything. Where that was `inVain` the last time, it looks
   * at the anchor anew by another reader, and goes on with what has come.
   */
  async #readOn(
    log: TokenLog,
    { maxBatchBytes, inVain }: { readonly maxBatchBytes: number; readonly inVain: boolean },
    signal: AbortSignal,
  ): Promise<'done' | 'cut off'> {
    const { token, progress } = this.#context
    const { limits, seams } = this.#context.settings
    const { clock } = seams
    const startedMs = clock.monotonicMs()
    let expected = this.#anchor
    let sliceMs = startedMs
    let askedMs = startedMs
    let reached = this.#readTo
    let moves = false
    this.#listener.onReading()
    const options = { signal, lookMs: limits.lookMs, maxBatchBytes }
    for await (const batch of log.read(expected?.offset ?? this.#from, options)) {
      // What comes after it was given up is another reader's.
      signal.throwIfAborted()
      const missed = clock.monotonicMs() - askedMs >= MISSED_LOOKS * limits.lookMs
      if (missed && expected === undefined && this.#anchor !== undefined) {
        if (!inVain) return 'cut off'
        await this.#checkAnchor(log, this.#anchor, options)
        signal.throwIfAborted()
      }
      // That what was read before is there, and more behind it, brings nobody on: each reader may show that, and fail.
      const comesOn = batch.next > reached || batch.next >= batch.end
      if (batch.next > reached) reached = batch.next
      moves ||= comesOn
      // Who has come on may look while it fetches what comes next, but not for ever.
      if (moves) progress.looked(batch, token, this.#state.incarnation)
      if (comesOn || this.stillMs < this.patienceMs) this.#watchdog.heard()
      if (comesOn) {
        this.#watchdog.cameOn(clock.monotonicMs() - askedMs)
        this.#came()
        this.#overtaken = 0
      }
      for (const record of batch.records) {
        if (expected !== undefined) {
          if (!matchesAnchor(expected, record.offset, record.bytes)) throw lostTail(token, expected.offset)
          expected = undefined
          this.#readTo = record.offset + 1n
          continue
        }
        this.#readRecord(record)
        if (this.#listener.done()) return 'done'
        if (clock.monotonicMs() - sliceMs < SLICE_MS) continue
        this.#listener.onPause()
        await clock.yield()
        signal.throwIfAborted()
        this.#watchdog.heard()
        this.#stillness.moved()
        sliceMs = clock.monotonicMs()
      }
      if (expected === undefined) {
        this.#readTo = batch.next
        progress.finished(batch)
        this.#listener.onBatchEnd()
      }
      // The end may be a stale answer, so it takes a while until it is believed.
      else if (batch.end <= expected.offset && clock.monotonicMs() - startedMs >= limits.restoreTimeoutMs) {
        throw lostTail(token, expected.offset)
      }
      askedMs = clock.monotonicMs()
    }
    const ended = `the reader of '${token}' ended by itself; reading again`
    throw new KagamiError('KAGAMI_LOG_UNAVAILABLE', ended, { retryable: true })
  }

  /** @throws KAGAMI_LOG_LOST_TAIL where another record is in the anchor's place */
  async #checkAnchor(log: TokenLog, anchor: Anchor, options: ReadOptions): Promise<void> {
    for await (const { records } of log.read(anchor.offset, options)) {
      options.signal.throwIfAborted()
      const [first] = records
      if (first === undefined) continue
      if (!matchesAnchor(anchor, first.offset, first.bytes)) throw lostTail(this.#context.token, anchor.offset)
      return
    }
  }

  /** What it has read is still so: it begins anew where it was. */
  #onDeaf(): void {
    const { token, settings } = this.#context
    const heardMs = Math.round(this.#stillness.ms)
    this.#trouble ??= new KagamiError(
      'KAGAMI_LOG_UNAVAILABLE',
      `a reader of '${token}' had not even looked at the log's end for ${heardMs} ms, and was begun anew`,
      { retryable: true, details: { token } },
    )
    settings.seams.logger.warn(`the log of '${token}' was not heard from for ${heardMs} ms; reading it anew`)
  }

  #readRecord({ offset, bytes }: LogRecord): void {
    const { token } = this.#context
    const frame = decodeFrame(bytes)
    this.#anchor = { offset, checksum: recordChecksum(bytes) }
    this.#readTo = offset + 1n
    if (frame.kind === 'skipped') return this.#ignore('unknown')
    const verdict = admit(this.#state, token, frame)
    if (verdict === 'opened' || this.#mayBeginLog(frame)) this.#base = this.#anchor
    switch (verdict) {
      case 'opened':
        return this.#onOpened(frame as OpenFrame)
      case 'barrier':
        return this.#listener.onBarrier(frame as BarrierFrame)
      case 'data':
        return this.#listener.onData(frame as DataFrame)
      case 'marker':
        if (frame.kind === 'marker') this.#listener.onMarker(frame.nonce)
        return
      case 'level':
        return
      case 'gap':
        throw unopened(token, offset)
      case 'diverged':
        throw diverged(token, offset)
      default:
        this.#ignore(verdict)
        if (frame.kind === 'barrier') this.#listener.onBarrierIgnored(frame)
    }
  }

  #onOpened(frame: OpenFrame): void {
    if (frame.address !== this.#log?.address || frame.identity !== this.#log.identity) {
      throw replaced(this.#context.token, frame.address)
    }
    this.#listener.onOpened(frame)
  }

  /**
   * Whether the log may be truncated so that it begins with this frame. A late copy of the open frame must never come first: a
   * reader would take it for the beginning. Between the last frame of this kind and the end of what was read, nothing counts.
   */
  #mayBeginLog(frame: Frame): boolean {
    const { kind, token, incarnation } = frame
    return (
      kind !== 'open' && kind !== 'marker' && token === this.#context.token && incarnation === this.#state.incarnation
    )
  }

  #ignore(reason: string): void {
    this.#ignored.set(reason, (this.#ignored.get(reason) ?? 0) + 1)
    const { settings, token } = this.#context
    settings.seams.metrics.count('kagami_frames_ignored', 1, { token, reason })
  }
}
