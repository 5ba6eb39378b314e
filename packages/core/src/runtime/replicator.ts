/**
 * The write side of a copy: takes entries while this node is the primary, appends sealed frames, and settles each entry by
 * what the read loop has counted. It never decides by itself that an entry is applied or rejected: the log does (engine/term.ts).
 */
import {
  isKagamiError,
  KagamiError,
  listenForAbort,
  type Clock,
  type Logger,
  type Offset,
  type Random,
  type TokenLog,
} from '../contract/index.js'
import type { CopyState } from '../engine/admission.js'
import { Term, type Appendable } from '../engine/term.js'
import type { Replicated } from './api.js'
import { appendWithin } from './append.js'
import { overloaded } from './copy-errors.js'
import { LogTrouble } from './log-trouble.js'
import type { Limits } from './options.js'
import { backoffMs } from './waiting.js'

/** An entry on its way. */
export interface PendingEntry {
  readonly bytes: Uint8Array
  readonly resolve: (value: Replicated<unknown>) => void
  readonly reject: (error: unknown) => void
  /** Takes the caller's abort listener away; to be called when the entry settles. */
  forget: (() => void) | undefined
}

export interface ReplicatorContext {
  readonly token: string
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly limits: Limits
  readonly appendsInFlight: number
  /** The log of the present incarnation; undefined while it isn't open. */
  log(): TokenLog | undefined
  /** The offset that the read loop reads next. */
  readTo(): Offset
  /** What a call is refused with because the read loop has heard nothing for too long; undefined: it hears. */
  unheard(): KagamiError | undefined
  /** The log refuses for good what a term appends. */
  onRefused(term: Term<PendingEntry>, error: KagamiError): void
  /** The log has taken nothing for so long that another copy had better try. Told with each further failure. */
  onUnable(error: KagamiError): void
  /** The log took an append below what this copy had read when it began: it has lost what was there. */
  onLostTail(offset: Offset): void
  readonly signal: AbortSignal
}

/** Callers are told after one. What is appended again mostly lands, and a change of primaries costs more than to wait for that. */
const TIMEOUTS_BEFORE_GIVING_WAY = 2

export class Replicator {
  readonly #context: ReplicatorContext
  readonly #trouble: LogTrouble
  #terms: Term<PendingEntry>[] = []
  #waiting: PendingEntry[] = []
  #waitingBytes = 0
  #inFlightEntries = 0
  #inFlightBytes = 0
  #pumpQueued = false
  #timer: { cancel(): void } | undefined

  constructor(context: ReplicatorContext) {
    this.#context = context
    this.#trouble = new LogTrouble(context.token, context.clock, context.limits.appendTimeoutMs)
  }

  /** Why the log takes nothing now, while something is being appended again. */
  get trouble(): KagamiError | undefined {
    return this.#terms.some((term) => term.failing) ? this.#trouble.error : undefined
  }

  /** The same, where it has lasted for so long that another copy had better try. */
  get lastingTrouble(): KagamiError | undefined {
    return this.trouble === undefined ? undefined : this.#trouble.lasting(TIMEOUTS_BEFORE_GIVING_WAY)
  }

  /** The term that takes entries; undefined when this copy is no primary. */
  get live(): Term<PendingEntry> | undefined {
    const last = this.#terms[this.#terms.length - 1]
    return last === undefined || last.closed ? undefined : last
  }

  get terms(): readonly Term<PendingEntry>[] {
    return this.#terms
  }

  /** Whether entries wait for the log to say how they end. */
  get hasSealed(): boolean {
    return this.#terms.some((term) => term.hasSealed)
  }

  get hasPending(): boolean {
    return this.#waiting.length > 0 || this.#terms.some((term) => term.hasSealed || term.hasOpen)
  }

  begin(incarnation: number, epoch: number, nextIndex: number): Term<PendingEntry> {
    const { token, random, limits, clock, appendsInFlight } = this.#context
    const identity = { token, incarnation, epoch, nextIndex, term: random.uint64() }
    const termLimits = { ...limits, appendsInFlight, unreadMs: limits.appendTimeoutMs }
    const term = new Term<PendingEntry>(identity, termLimits, clock.now())
    this.#terms.push(term)
    this.pump()
    return term
  }

  /** Takes an entry for the live term, which the caller has checked to exist. */
  submit(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<Replicated<unknown>> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason as Error)
      const refusal = this.#refusal()
      if (refusal !== undefined) return reject(refusal)
      const entry: PendingEntry = { bytes, resolve, reject, forget: undefined }
      if (this.#fits(entry) && this.#waiting.length === 0) this.#add(entry)
      else if (this.#mayWait(entry)) this.#wait(entry)
      else return reject(overloaded(this.#context.token, 'replicate', this.#waiting.length))
      if (signal !== undefined) this.#listen(entry, signal)
      this.#queuePump()
    })
  }

  /** Own barrier read and accepted. */
  serve(term: Term<PendingEntry>, state: CopyState): void {
    term.serve(state)
    this.pump()
  }

  /** A data frame of this term was counted: gives its entries, which the caller settles with {@link settle}. */
  counted(term: bigint, firstSeq: number): readonly PendingEntry[] {
    const own = this.#terms.find((candidate) => candidate.term === term)
    if (own === undefined) return []
    const entries = own.counted(firstSeq)
    if (own.closed && !own.hasSealed) this.#forget(own)
    for (const entry of entries) {
      this.#inFlightEntries -= 1
      this.#inFlightBytes -= entry.bytes.length
    }
    return entries
  }

  /** The loop has moved on: frames that were passed over are appended again, and waiting entries move up. */
  progressed(): void {
    this.#admitWaiting()
    this.pump()
  }

  /** Stops taking entries into the live term; what is sealed goes on until the log decides. */
  close(reject: KagamiError): void {
    const term = this.live
    if (term === undefined) return
    this.#handBack(term.close(), reject)
    // Without sealed entries nothing is left to learn from the log.
    if (!term.hasSealed) this.#forget(term)
  }

  /** Ends every term that `over` selects, and rejects what is sealed with `sealed`, the rest with `unsealed`. */
  end(over: (term: Term<PendingEntry>) => boolean, sealed: KagamiError, unsealed: KagamiError): Term<PendingEntry>[] {
    const ended = this.#terms.filter(over)
    for (const term of ended) {
      const wasLive = this.live === term
      const entries = term.end()
      this.#forget(term)
      this.#release(entries.sealed)
      rejectAll(entries.sealed, sealed)
      if (wasLive) this.#handBack(entries.unsealed, unsealed)
    }
    return ended
  }

  /** After a restore over log that was not read: settles what is certain. Gives the terms that are over. */
  jumped(state: CopyState): Term<PendingEntry>[] {
    const over: Term<PendingEntry>[] = []
    for (const term of this.#terms) {
      const committed = term.jumped(state)
      if (committed === undefined) over.push(term)
      else {
        this.#release(committed)
        rejectAll(
          committed,
          indeterminate(
            this.#context.token,
            'it is committed, but this copy was restored past it and never saw its result',
          ),
        )
      }
    }
    this.#terms = this.#terms.filter((term) => !(term.closed && !term.hasSealed))
    return over
  }

  /** Appends what is due, seals what may be sealed, and sets the timer for what is due later. */
  pump(): void {
    const { clock, signal } = this.#context
    this.#timer?.cancel()
    this.#timer = undefined
    const log = this.#context.log()
    if (log === undefined || signal.aborted) return
    const unheard = this.#context.unheard()
    if (unheard !== undefined) this.#handBack(this.live?.takeOpen() ?? [], unheard)
    const now = clock.monotonicMs()
    let wakeAt = Infinity
    for (const term of this.#terms) {
      for (;;) {
        for (const item of term.takeAppendable(now, this.#context.readTo())) this.#append(log, term, item)
        const sealed = term.retryAtMs === undefined ? term.seal(now, clock.now()) : undefined
        if (sealed === undefined) break
      }
      for (const atMs of [term.retryAtMs, term.lingersUntilMs, term.missedAtMs])
        wakeAt = Math.min(wakeAt, atMs ?? Infinity)
    }
    if (wakeAt !== Infinity) {
      this.#timer = clock.timer(Math.max(1, wakeAt - now), () => this.pump())
    }
  }

  #append(log: TokenLog, term: Term<PendingEntry>, item: Appendable): void {
    const { clock, random, limits, logger, token, signal } = this.#context
    const readTo = this.#context.readTo()
    appendWithin(limits.appendTimeoutMs, log, item.bytes, clock, signal).then(
      (offset) => {
        // What this copy had read there before is not in the log any more.
        if (offset < readTo && this.#context.log() === log) return this.#context.onLostTail(offset)
        term.appended(item, offset, clock.monotonicMs())
        this.pump()
      },
      (error: unknown) => {
        if (signal.aborted || term.phase === 'ended') return
        // Whatever was wrong before has passed: the loop may have read what no answer had told of.
        if (this.trouble === undefined) this.#trouble.over()
        term.appendFailed(item, clock.monotonicMs() + backoffMs(item.failures, limits.retryMs, random))
        const permanent = isKagamiError(error) && !error.retryable
        if (permanent && this.#context.log() === log) return this.#context.onRefused(term, error)
        if (this.#trouble.failed(error))
          logger.warn(`an append to the log of '${token}' failed and is tried again`, { error })
        const refusal = this.#refusal()
        if (refusal !== undefined) this.#handBack(this.live?.takeOpen() ?? [], refusal)
        const { lastingTrouble } = this
        if (lastingTrouble !== undefined) this.#context.onUnable(lastingTrouble)
        this.pump()
      },
    )
  }

  #listen(entry: PendingEntry, signal: AbortSignal): void {
    entry.forget = listenForAbort(signal, () => {
      if (!this.#takeBack(entry)) {
        const { token } = this.#context
        return entry.reject(indeterminate(token, 'the call was aborted after its entry had been sealed', signal.reason))
      }
      entry.reject(signal.reason)
      // What waits behind it may fit now, and it may take long until anything else lets it in.
      this.#admitWaiting()
      this.#queuePump()
    })
  }

  /** Takes an entry back that is not sealed yet. False when it is too late. */
  #takeBack(entry: PendingEntry): boolean {
    const at = this.#waiting.indexOf(entry)
    if (at >= 0) {
      this.#waiting.splice(at, 1)
      this.#waitingBytes -= entry.bytes.length
      return true
    }
    if (!this.#terms.some((term) => term.takeBack(entry))) return false
    this.#release([entry])
    return true
  }

  #queuePump(): void {
    if (this.#pumpQueued) return
    this.#pumpQueued = true
    // Entries of one turn share a frame.
    queueMicrotask(() => {
      this.#pumpQueued = false
      this.pump()
    })
  }

  #fits(entry: PendingEntry): boolean {
    const { maxInFlightEntries, maxInFlightBytes } = this.#context.limits
    if (this.#inFlightEntries === 0) return true
    return this.#inFlightEntries < maxInFlightEntries && this.#inFlightBytes + entry.bytes.length <= maxInFlightBytes
  }

  /** What an entry that is not sealed is rejected with while the log takes nothing; undefined while it may wait. */
  #refusal(): KagamiError | undefined {
    return this.trouble === undefined ? undefined : this.#trouble.refusal()
  }

  #mayWait(entry: PendingEntry): boolean {
    const { maxWaiting, maxWaitingBytes } = this.#context.limits
    if (this.#waiting.length === 0) return true
    return this.#waiting.length < maxWaiting && this.#waitingBytes + entry.bytes.length <= maxWaitingBytes
  }

  #wait(entry: PendingEntry): void {
    this.#waiting.push(entry)
    this.#waitingBytes += entry.bytes.length
  }

  /** Rejects entries of the live term that were not sealed, and those that wait for a place in it: definite, nothing of them was appended. */
  #handBack(unsealed: readonly PendingEntry[], reason: KagamiError): void {
    const waiting = this.#waiting
    this.#waiting = []
    this.#waitingBytes = 0
    this.#release(unsealed)
    rejectAll([...unsealed, ...waiting], reason)
  }

  #add(entry: PendingEntry): void {
    this.#inFlightEntries += 1
    this.#inFlightBytes += entry.bytes.length
    this.live?.add(entry, this.#context.clock.monotonicMs())
  }

  #admitWaiting(): void {
    let taken = 0
    while (taken < this.#waiting.length && this.live !== undefined) {
      const entry = this.#waiting[taken]
      if (entry === undefined || !this.#fits(entry)) break
      this.#waitingBytes -= entry.bytes.length
      this.#add(entry)
      taken += 1
    }
    if (taken > 0) this.#waiting.splice(0, taken)
  }

  #release(entries: readonly PendingEntry[]): void {
    for (const entry of entries) {
      this.#inFlightEntries -= 1
      this.#inFlightBytes -= entry.bytes.length
    }
  }

  #forget(term: Term<PendingEntry>): void {
    this.#terms = this.#terms.filter((other) => other !== term)
  }
}

export function settle(entry: PendingEntry, outcome: Replicated<unknown>): void {
  entry.forget?.()
  entry.resolve(outcome)
}

export function rejectAll(entries: readonly PendingEntry[], error: unknown): void {
  for (const entry of entries) {
    entry.forget?.()
    entry.reject(error)
  }
}

export function indeterminate(token: string, why: string, cause?: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_INDETERMINATE',
    `whether an entry of '${token}' is applied is not known: ${why}. Read the state before you send it again`,
    { cause, details: { token } },
  )
}
