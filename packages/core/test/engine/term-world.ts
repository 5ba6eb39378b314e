/**
 * A primary and its log in miniature: appends fly, land late, twice, in another order or never; the loop reads when it likes. Checks at every step what a
 * term may do. Only the log decides here, as in a real copy.
 */
import { expect } from 'vitest'
import type { Offset } from '../../src/contract/index.js'
import { admit, emptyState } from '../../src/engine/admission.js'
import type { CopyState } from '../../src/engine/admission.js'
import { decodeEntries, decodeFrame, encodeFrame } from '../../src/engine/frame.js'
import type { DataFrame, Frame } from '../../src/engine/frame.js'
import { Term } from '../../src/engine/term.js'
import type { Appendable, TermLimits } from '../../src/engine/term.js'
import { openFrame } from './frames.js'
import type { Tally } from './support.js'

export interface Entry {
  readonly id: number
  readonly bytes: Uint8Array
}

interface Flight {
  readonly item: Appendable
  readonly bytes: Uint8Array
  /** The author has been given an answer, though the record may still land. */
  answered: boolean
}

const PAUSE_MS = 10

export class TermWorld {
  readonly limits: TermLimits
  readonly tally: Tally
  readonly term: Term<Entry>
  nowMs = 100
  readonly log: { readonly offset: Offset; readonly bytes: Uint8Array }[] = []
  /** The reader of the primary, and one that has always read everything. */
  state: CopyState = emptyState()
  readonly ahead: { state: CopyState; at: number } = { state: emptyState(), at: 0 }
  at = 0
  flights: Flight[] = []
  added = 0
  /** Entries by id, in the order in which they were sealed, counted by the log, and settled here. */
  readonly sealed: number[] = []
  readonly settled: number[] = []
  readonly unknown: number[] = []
  readonly #first = new Map<Appendable, string>()
  #open: Entry[] = []

  constructor(limits: TermLimits, tally: Tally) {
    this.limits = limits
    this.tally = tally
    this.put(encodeFrame(openFrame()))
    this.term = new Term<Entry>({ token: 'orders', incarnation: 1, epoch: 1, term: 77n, nextIndex: 0 }, limits, 0)
  }

  /** The offset that the loop reads next. Offsets have gaps, and mean nothing but an order. */
  get readTo(): Offset {
    const last = this.log[this.at - 1]
    return last === undefined ? 0n : last.offset + 1n
  }

  put(bytes: Uint8Array): Offset {
    const offset = (this.log[this.log.length - 1]?.offset ?? 4n) + (this.log.length % 3 === 0 ? 4n : 1n)
    this.log.push({ offset, bytes })
    return offset
  }

  add(size: number): void {
    if (this.term.closed) return
    const bytes = Buffer.alloc(4 + size)
    bytes.writeUInt32BE(this.added)
    const entry = { id: this.added++, bytes }
    this.#open.push(entry)
    this.term.add(entry, this.nowMs)
  }

  takeBack(pick: number): void {
    const entry = this.#open[pick % Math.max(1, this.#open.length)]
    if (entry === undefined) return
    expect(this.term.takeBack(entry)).toBe(true)
    expect(this.term.takeBack(entry)).toBe(false)
    this.#open = this.#open.filter((other) => other !== entry)
    this.tally.add('taken back')
  }

  seal(): void {
    const before = this.#open.length
    const entries = this.term.seal(this.nowMs, this.nowMs)
    if (entries === undefined) return
    const size = entries.reduce((sum, entry) => sum + entry.bytes.length, 0)
    expect(this.term.phase).toBe('serving')
    expect(entries.length).toBeGreaterThan(0)
    expect(entries).toEqual(this.#open.slice(0, entries.length))
    expect(entries.length).toBeLessThanOrEqual(this.limits.maxFrameEntries)
    expect(entries.length === 1 || size <= this.limits.maxFrameBytes).toBe(true)
    for (const entry of entries) {
      expect(this.term.takeBack(entry)).toBe(false)
      this.sealed.push(entry.id)
    }
    this.#open = this.#open.slice(entries.length)
    this.tally.add(entries.length < before ? 'sealed in parts' : 'sealed')
  }

  append(): void {
    const due = this.term.takeAppendable(this.nowMs, this.readTo)
    const given = due.map((item) => decodeFrame(item.bytes))
    for (const item of due) {
      expect(item.retryAtMs).toBeLessThanOrEqual(this.nowMs)
      expect(this.flights.filter((flight) => flight.item === item && !flight.answered)).toEqual([])
      const bytes = Buffer.from(item.bytes)
      const first = this.#first.get(item)
      if (first === undefined) this.#first.set(item, bytes.toString('hex'))
      else {
        expect(bytes.toString('hex')).toBe(first)
        this.tally.add('appended again')
      }
      this.flights.push({ item, bytes, answered: false })
    }
    const seqs = given.flatMap((frame) => (frame.kind === 'data' ? [frame.firstSeq] : []))
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
    if (given.some((frame) => frame.kind === 'barrier')) expect(given.length).toBe(1)
    const unlanded = [
      ...new Set(
        this.flights.filter(({ item, answered }) => !answered && item !== this.term.barrier).map(({ item }) => item),
      ),
    ]
    expect(unlanded.length).toBeLessThanOrEqual(Math.max(this.limits.appendsInFlight, this.sealed.length))
  }

  /** An append arrives in the log. `twice`: it stays on its way too. `lost`: its author hears of an error, or nothing yet. */
  land(pick: number, how: 'well' | 'twice' | 'error' | 'silent'): void {
    const flight = this.flights[pick % Math.max(1, this.flights.length)]
    if (flight === undefined) return
    if (pick % this.flights.length !== 0) this.tally.add('landed out of order')
    const offset = this.put(flight.bytes)
    if (how === 'well' || how === 'twice') this.#answer(flight, offset)
    if (how === 'error') this.#answer(flight, undefined)
    if (how === 'twice') this.tally.add('landed twice')
    if (how === 'silent' && !flight.answered) this.tally.add('landed without an answer')
    else if (how !== 'twice') this.flights.splice(this.flights.indexOf(flight), 1)
  }

  /** An append fails: for good, or its author only believes so. */
  fail(pick: number, andIsLost: boolean): void {
    const flight = this.flights[pick % Math.max(1, this.flights.length)]
    if (flight === undefined) return
    this.#answer(flight, undefined)
    if (andIsLost) this.flights.splice(this.flights.indexOf(flight), 1)
    this.tally.add(andIsLost ? 'lost' : 'timed out')
  }

  #answer(flight: Flight, offset: Offset | undefined): void {
    if (flight.answered) return
    flight.answered = true
    if (offset !== undefined) return this.term.appended(flight.item, offset, this.nowMs)
    const { failures } = flight.item
    this.term.appendFailed(flight.item, this.nowMs + PAUSE_MS)
    expect(flight.item.failures).toBe(failures + 1)
  }

  read(count: number): void {
    for (let i = 0; i < count; i++) {
      const record = this.log[this.at]
      if (record === undefined) return
      this.at += 1
      const frame = decodeFrame(record.bytes) as Frame
      const verdict = admit(this.state, 'orders', frame)
      expect(['opened', 'barrier', 'data', 'old-epoch', 'duplicate', 'ahead']).toContain(verdict)
      if (verdict === 'duplicate' || verdict === 'ahead') this.tally.add(verdict)
      if (verdict === 'barrier') this.term.serve(this.state)
      if (verdict === 'data') this.#count(frame as DataFrame)
    }
  }

  #count(frame: DataFrame): void {
    const entries = this.term.counted(frame.firstSeq)
    expect(entries.map(({ id }) => id)).toEqual(idsOf(frame))
    this.settled.push(...entries.map(({ id }) => id))
  }

  /** The copy is restored from what the other reader knows. */
  jump(): void {
    this.readAhead()
    if (this.ahead.at <= this.at) return
    const jumped = this.ahead.state.nextSeq - this.state.nextSeq
    this.state = { ...this.ahead.state }
    this.at = this.ahead.at
    const committed = this.term.jumped(this.state)
    expect(committed?.length).toBe(jumped)
    for (const { id } of committed ?? []) {
      this.settled.push(id)
      this.unknown.push(id)
    }
    this.tally.add(jumped > 0 ? 'jumped over own entries' : 'jumped')
  }

  readAhead(): void {
    for (; this.ahead.at < this.log.length; this.ahead.at++) {
      admit(this.ahead.state, 'orders', decodeFrame((this.log[this.ahead.at] as { bytes: Uint8Array }).bytes) as Frame)
    }
  }

  /** Faults stop: everything lands, and is read. */
  settle(): void {
    for (let round = 0; this.term.pending > 0 || this.term.phase === 'barrier'; round++) {
      expect(round).toBeLessThan(200)
      this.nowMs += PAUSE_MS + this.limits.lingerMs
      this.append()
      while (this.flights.length > 0) this.land(0, 'well')
      this.read(this.log.length)
      this.seal()
    }
  }

  /** What the log counts of this term, by id. */
  counted(): number[] {
    const state = emptyState()
    const ids: number[] = []
    for (const { bytes } of this.log) {
      const frame = decodeFrame(bytes) as Frame
      if (admit(state, 'orders', frame) === 'data') ids.push(...idsOf(frame as DataFrame))
    }
    return ids
  }
}

function idsOf(frame: DataFrame): number[] {
  return decodeEntries(frame.body, frame.count).map((entry) => Buffer.from(entry).readUInt32BE(0))
}
