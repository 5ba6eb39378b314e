/**
 * One term of a primary: its barrier, the entries that wait to be sealed, and the sealed frames that wait to be read back.
 * Decides what is appended next and which entries are settled how; never appends, waits or calls back by itself.
 *
 * A sealed frame is immutable: same bytes, same seq, for ever. It may be appended any number of times, one outstanding copy at a time; the log
 * counts it once.
 */
import type { Offset } from '../contract/index.js'
import type { CopyState } from './admission.js'
import { chainAfterData } from './chain.js'
import { encodeEntries, encodeFrame, ENTRY_OVERHEAD_BYTES } from './frame.js'

/** Something that is appended until it is read back. */
export interface Appendable {
  readonly bytes: Uint8Array
  /** An append of these bytes is under way. */
  outstanding: boolean
  /** Where an append put it, as far as is known. */
  landedAt: Offset | undefined
  /** Failed appends in a row. */
  failures: number
  /** Not to be appended before this time of the monotonic clock. */
  retryAtMs: number
  /** How long it is waited for once it has landed. Doubles: a reader that is far behind is not given copies without end. */
  unreadMs: number
  /** On the monotonic clock, when that is over. */
  missedAtMs: number
}

/** A run of entries with their seqs fixed. `P` is whatever the runtime needs to settle an entry. */
export interface SealedFrame<P> extends Appendable {
  readonly firstSeq: number
  readonly entries: readonly P[]
}

export interface TermLimits {
  readonly maxFrameBytes: number
  readonly maxFrameEntries: number
  /** Appends of data frames under way at once. */
  readonly appendsInFlight: number
  readonly lingerMs: number
  /** How long what the log has taken may stay unread until it is appended once more. */
  readonly unreadMs: number
}

/** How a term's entries end when it does. */
export interface Ended<P> {
  /** Never sealed: certainly never applied. */
  readonly unsealed: readonly P[]
  /** Sealed and not yet counted. */
  readonly sealed: readonly P[]
}

export interface TermIdentity {
  readonly token: string
  readonly incarnation: number
  readonly epoch: number
  /** Random, new at every promotion. */
  readonly term: bigint
  /** Entries of the incarnation that this copy has read. */
  readonly nextIndex: number
}

export class Term<P extends { readonly bytes: Uint8Array }> {
  readonly incarnation: number
  readonly epoch: number
  readonly term: bigint
  readonly barrier: Appendable
  /** 'barrier': waits to read its own barrier back. 'serving': it was accepted. 'ended': nothing more will count. */
  phase: 'barrier' | 'serving' | 'ended' = 'barrier'
  /** Another primary is assigned: takes no more entries, but goes on until the log says how the pending ones end. */
  closed = false

  readonly #token: string
  readonly #limits: TermLimits
  #nextSeq = 0
  #nextIndex = 0
  #chain = 0n
  #open: P[] = []
  #openBytes = 0
  #openSinceMs = 0
  #frames: SealedFrame<P>[] = []

  constructor(identity: TermIdentity, limits: TermLimits, nowMs: number) {
    this.#token = identity.token
    this.incarnation = identity.incarnation
    this.epoch = identity.epoch
    this.term = identity.term
    this.#limits = limits
    this.barrier = appendable(encodeFrame({ kind: 'barrier', ...identity, timeMs: nowMs }), limits.unreadMs)
  }

  /** Entries that are neither settled nor handed back. */
  get pending(): number {
    return this.#open.length + this.#frames.reduce((sum, frame) => sum + frame.entries.length, 0)
  }

  get hasSealed(): boolean {
    return this.#frames.length > 0
  }

  /** Whether something is appended again because its last append failed. */
  get failing(): boolean {
    return this.#unread().some((item) => item.failures > 0)
  }

  get hasOpen(): boolean {
    return this.#open.length > 0
  }

  /** Adds an entry to the open frame. Only while not closed and not ended. */
  add(entry: P, nowMs: number): void {
    if (this.#open.length === 0) this.#openSinceMs = nowMs
    this.#open.push(entry)
    this.#openBytes += entry.bytes.length + ENTRY_OVERHEAD_BYTES
  }

  /** Takes back an entry that is not sealed yet. False when it is too late. */
  takeBack(entry: P): boolean {
    const at = this.#open.indexOf(entry)
    if (at < 0) return false
    this.#open.splice(at, 1)
    this.#openBytes -= entry.bytes.length + ENTRY_OVERHEAD_BYTES
    return true
  }

  /**
   * Seals the open frame, if that is due: at once while nothing is in flight, else when it is full or has lingered, as long as
   * another append may be under way. Gives the entries whose fate is now the log's.
   */
  seal(nowMs: number, timeMs: number): readonly P[] | undefined {
    if (this.phase !== 'serving' || this.#open.length === 0) return undefined
    const underWay = this.#underWay()
    if (underWay >= this.#limits.appendsInFlight) return undefined
    if (underWay > 0 && !this.#full() && nowMs < this.#openSinceMs + this.#limits.lingerMs) return undefined
    const entries = this.#takeFrame()
    const body = encodeEntries(entries.map((entry) => entry.bytes))
    const bytes = encodeFrame({
      kind: 'data',
      token: this.#token,
      incarnation: this.incarnation,
      epoch: this.epoch,
      term: this.term,
      firstSeq: this.#nextSeq,
      firstIndex: this.#nextIndex,
      count: entries.length,
      chain: this.#chain,
      timeMs,
      body,
    })
    this.#frames.push({ ...appendable(bytes, this.#limits.unreadMs), firstSeq: this.#nextSeq, entries })
    this.#nextSeq += entries.length
    this.#nextIndex += entries.length
    this.#chain = chainAfterData(this.#chain, body)
    return entries
  }

  /** When the open frame has lingered long enough, on the monotonic clock; undefined when nothing waits for that. */
  get lingersUntilMs(): number | undefined {
    if (this.phase !== 'serving' || this.#open.length === 0 || this.#limits.lingerMs === 0) return undefined
    // Then it is the answer to an append that lets the frame be sealed, not the time.
    if (this.#underWay() >= this.#limits.appendsInFlight) return undefined
    return this.#openSinceMs + this.#limits.lingerMs
  }

  /**
   * What is to be appended now, in order; marks it outstanding. A frame is appended when it is new, when its append is known to have failed,
   * or when the loop has read past where it landed without counting it. The first one also when it is not read for long: the log may have lost it.
   * `readTo` is the offset that the loop reads next.
   * While one waits out a pause, nothing behind it is appended. While one is on its way, a frame behind it that was read too early
   * waits: it would be read too early again, and again, as fast as the log takes it.
   */
  takeAppendable(nowMs: number, readTo: Offset): Appendable[] {
    const due: Appendable[] = []
    let behindOne = false
    const unread = this.#unread()
    for (const item of unread) {
      if (item.outstanding) behindOne = true
      if (item.outstanding) continue
      if (item.landedAt !== undefined && (behindOne || readTo <= item.landedAt)) {
        if (item !== unread[0] || nowMs < item.missedAtMs) continue
        item.unreadMs *= 2
      }
      if (nowMs < item.retryAtMs) break
      item.landedAt = undefined
      item.outstanding = true
      due.push(item)
    }
    return due
  }

  /** When what the log has taken, and has not been read, is due once more, on the monotonic clock. */
  get missedAtMs(): number | undefined {
    const first = this.#unread()[0]
    return first?.landedAt === undefined ? undefined : first.missedAtMs
  }

  /** When the next append that waits out a pause is due, on the monotonic clock. */
  get retryAtMs(): number | undefined {
    for (const item of this.#unread()) {
      if (!item.outstanding && item.landedAt === undefined) return item.retryAtMs
    }
    return undefined
  }

  appended(item: Appendable, offset: Offset, nowMs: number): void {
    item.outstanding = false
    item.landedAt = offset
    item.missedAtMs = nowMs + item.unreadMs
    item.failures = 0
  }

  appendFailed(item: Appendable, retryAtMs: number): void {
    item.outstanding = false
    item.landedAt = undefined
    item.failures += 1
    item.retryAtMs = retryAtMs
  }

  /** Its own barrier was read, and accepted: the term serves, and continues from `state`. */
  serve(state: CopyState): void {
    if (this.phase !== 'barrier') return
    this.phase = 'serving'
    this.#nextSeq = state.nextSeq
    this.#nextIndex = state.nextIndex
    this.#chain = state.chain
  }

  /** A data frame of this term counted: gives the entries that it settles, in order. */
  counted(firstSeq: number): readonly P[] {
    const frame = this.#frames[0]
    if (frame === undefined || frame.firstSeq !== firstSeq) return []
    this.#frames.shift()
    return frame.entries
  }

  /**
   * The copy was restored over log that it had not read. Gives the entries that are certainly committed though nobody knows their results,
   * or undefined when the term itself is over: then {@link end} it, and its sealed entries are indeterminate.
   */
  jumped(state: CopyState): readonly P[] | undefined {
    if (state.incarnation > this.incarnation) return undefined
    if (state.incarnation === this.incarnation && state.epoch > this.epoch) return undefined
    if (state.incarnation < this.incarnation || state.epoch < this.epoch) return []
    if (state.term !== this.term) return undefined
    this.serve(state)
    const committed: P[] = []
    while (this.#frames[0] !== undefined && this.#frames[0].firstSeq < state.nextSeq) {
      committed.push(...(this.#frames.shift()?.entries ?? []))
    }
    return committed
  }

  /** Ends the term and hands back what is pending. */
  end(): Ended<P> {
    const ended = { unsealed: this.#open, sealed: this.#frames.flatMap((frame) => frame.entries) }
    this.phase = 'ended'
    this.closed = true
    this.#open = []
    this.#openBytes = 0
    this.#frames = []
    return ended
  }

  /** Hands back the entries that are not sealed, and takes no more. */
  close(): readonly P[] {
    this.closed = true
    return this.takeOpen()
  }

  /** Hands back the entries that are not sealed. */
  takeOpen(): readonly P[] {
    const unsealed = this.#open
    this.#open = []
    this.#openBytes = 0
    return unsealed
  }

  #unread(): readonly Appendable[] {
    return this.phase === 'barrier' ? [this.barrier] : this.phase === 'serving' ? this.#frames : []
  }

  #underWay(): number {
    return this.#frames.filter((frame) => frame.landedAt === undefined).length
  }

  #full(): boolean {
    return this.#open.length >= this.#limits.maxFrameEntries || this.#openBytes >= this.#limits.maxFrameBytes
  }

  /** The entries of the next frame: as many as fit, and at least one. */
  #takeFrame(): P[] {
    let count = 0
    let bytes = 0
    for (const entry of this.#open) {
      const size = entry.bytes.length + ENTRY_OVERHEAD_BYTES
      if (count > 0 && (count >= this.#limits.maxFrameEntries || bytes + size > this.#limits.maxFrameBytes)) break
      count += 1
      bytes += size
    }
    const taken = count === this.#open.length ? this.#open : this.#open.slice(0, count)
    this.#open = count === this.#open.length ? [] : this.#open.slice(count)
    this.#openBytes -= bytes
    return taken
  }
}

function appendable(bytes: Uint8Array, unreadMs: number): Appendable {
  return { bytes, outstanding: false, landedAt: undefined, failures: 0, retryAtMs: 0, unreadMs, missedAtMs: 0 }
}
