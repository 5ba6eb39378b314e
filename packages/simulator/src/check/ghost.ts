/**
 * The ground truth: reads every log as records land, by the engine's rule and by an independent one, and knows each token's
 * one sequence. Everything that nodes apply, acknowledge, restore or drop is held against it. It is never wrong about what a log says, since it
 * misses nothing and forgets nothing.
 */
import { admit, decodeEntries, decodeFrame, emptyState, type CopyState, type Frame } from '@kagami/core/engine'
import { comparePositions, type Entry, type Offset, type Position } from '@kagami/core/contract'
import { mix } from '../kernel/scheduler.js'
import type { Trace } from '../kernel/trace.js'
import type { LogObserver, StoredLog, StoredRecord } from '../world/log-server.js'
import type { StoreServer } from '../world/store-server.js'
import { Drops } from './drops.js'
import { show } from './frame-text.js'
import { operationOf, type Ledger, type Operation } from './ledger.js'
import { Removals } from './removals.js'
import { agrees, judge, ruleState, type RuleState } from './rule.js'

/** A token within one log. */
interface View {
  readonly token: string
  state: CopyState
  rule: RuleState
  /** Of a life of the token that nobody remembers: see `forget`. */
  forgotten: boolean
  /** The log's end when it was forgotten. */
  forgottenAt: Offset
  openedAt: Offset
}

/** One incarnation's entries. */
interface Sequence {
  readonly address: string
  forgotten: boolean
  readonly ids: number[]
  /** The state's digest after each entry. */
  readonly digests: number[]
}

export class Ghost implements LogObserver {
  readonly #trace: Trace
  readonly #ledger: Ledger
  readonly #drops: Drops
  readonly #removals: Removals
  readonly #views = new Map<StoredLog, Map<string, View>>()
  /** By token and incarnation; the last one is of its present life. */
  readonly #sequences = new Map<string, Sequence[]>()
  readonly #where = new Map<number, Position>()
  readonly #lastOfTerm = new Map<bigint, number>()
  readonly #acknowledged = new Map<string, Position>()
  readonly #lives = new Map<string, number>()
  /** Where each token's newest incarnation with a primary lives. */
  readonly #home = new Map<string, { readonly incarnation: number; readonly log: StoredLog }>()
  /** By token, incarnation and epoch: how many entries had counted before the epoch began. */
  readonly #before = new Map<string, number>()
  /** When a log was released last. */
  releasedAtMs = -Infinity

  constructor(trace: Trace, ledger: Ledger, store: StoreServer, keep: number) {
    this.#trace = trace
    this.#ledger = ledger
    this.#drops = new Drops(trace, store, keep)
    this.#removals = new Removals(trace)
  }

  landed(log: StoredLog, record: StoredRecord): void {
    const frame = decodeFrame(record.bytes)
    if (frame.kind === 'skipped') return
    const view = this.#view(log, frame.token)
    if (view.forgotten && frame.kind === 'open' && !frame.deleted && log.start >= view.forgottenAt) this.#begins(view)
    const { incarnation, deleted } = view.state
    const verdict = admit(view.state, frame.token, frame)
    const own = judge(view.rule, frame)
    this.#trace.count(`frame.${verdict}`)
    this.#trace.add('log', `${log.address}[${record.offset}] ${show(frame)} -> ${verdict}`)
    if (!agrees(verdict, own))
      this.#trace.violation('S3', `the engine says ${verdict}, the rule ${own}, of ${show(frame)}`)
    if (verdict === 'diverged') this.#trace.violation('S2', `the chain of ${show(frame)} contradicts its log`)
    // Leftovers of an older user of this log may come before its open frame.
    if (verdict === 'gap' && view.state.incarnation > 0) {
      this.#trace.violation('S3', `${show(frame)} was written before its epoch was opened`)
    }
    if (verdict === 'opened') {
      view.openedAt = record.offset
      if (!view.state.deleted) this.#removals.began(frame.token, view.state.incarnation)
      else if (!deleted) this.#removals.ended(frame.token, incarnation, this.#length(frame.token, incarnation))
    }
    if (verdict === 'barrier') this.#began(log, view)
    if (verdict === 'data' && frame.kind === 'data') this.#apply(log, frame)
  }

  /** A client asks for the token's removal, and gives up after `forMs`. */
  removalAsked(token: string, forMs: number): void {
    this.#removals.asked(token, forMs)
  }

  /** A token that was forgotten begins anew, incarnations included: what is still under way to its former logs must not meet it there. */
  mayHave(log: StoredLog, token: string): boolean {
    return this.#views.get(log)?.get(token)?.forgotten !== true
  }

  /** An epoch has begun: it must be of the newest incarnation, and the only one alive. */
  #began(log: StoredLog, view: View): void {
    const { token } = view
    const { incarnation, epoch } = view.state
    const home = this.#home.get(token)
    this.#trace.count('epochs')
    if (home !== undefined && (home.log !== log || home.incarnation !== incarnation)) {
      const former = this.#view(home.log, token).state
      if (incarnation <= home.incarnation) {
        this.#trace.violation(
          'S3',
          `${token}: epoch ${epoch} of incarnation ${incarnation} begins in ${log.address} after incarnation ${home.incarnation} in ${home.log.address}`,
        )
      } else if (home.log !== log && former.incarnation === home.incarnation && !former.deleted) {
        this.#trace.violation('S3', `${token}: incarnations ${home.incarnation} and ${incarnation} are alive at once`)
      }
    }
    if (home === undefined || incarnation > home.incarnation) this.#home.set(token, { incarnation, log })
    this.#before.set(`${key(token, incarnation)} ${epoch}`, this.#length(token, incarnation))
  }

  #apply(log: StoredLog, frame: Frame & { readonly kind: 'data' }): void {
    const { token, incarnation, term } = frame
    const sequence = this.#sequence(token, incarnation, log.address)
    if (sequence.ids.length !== frame.firstIndex) {
      this.#trace.violation('S4', `${show(frame)} counts at index ${sequence.ids.length}`)
    }
    for (const bytes of decodeEntries(frame.body, frame.count)) {
      const id = operationOf(bytes)
      const operation = this.#ledger.get(id)
      if (operation === undefined || operation.token !== token) {
        this.#trace.violation('S4', `${token} holds an entry that nobody wrote to it: ${id}`)
        continue
      }
      if (this.#where.has(id)) this.#trace.violation('S4', `op ${id} counts twice`)
      if (operation.outcome === 'rejected') {
        this.#trace.violation('S5', `op ${id} was definitely rejected (${operation.code}), and counts now`)
      }
      if ((this.#lastOfTerm.get(term) ?? -1) >= id) {
        this.#trace.violation('S4', `op ${id} comes after op ${this.#lastOfTerm.get(term)}, which was called later`)
      }
      this.#lastOfTerm.set(term, id)
      this.#where.set(id, { incarnation, index: sequence.ids.length })
      sequence.digests.push(mix(sequence.digests.at(-1) ?? 0, id))
      sequence.ids.push(id)
    }
  }

  /** A copy applies an entry. `before` is its state's digest until then. */
  applied(who: string, entry: Entry, id: number, before: number): void {
    const { incarnation, index } = entry.position
    const sequences = this.#sequences.get(key(entry.token, incarnation)) ?? []
    this.#trace.count('applied')
    const sequence = sequences.findLast(({ ids }) => ids[index] === id)
    if (sequence === undefined) {
      const expected = sequences.map(({ ids }) => ids[index]).join(' or ')
      this.#trace.violation(
        'S2',
        `${who} applies op ${id} of ${entry.token} at ${incarnation}/${index}, where the log has ${expected}`,
      )
    } else if (digestAt(sequence, index) !== before) {
      this.#trace.violation(
        'S4',
        `${who} applies ${entry.token} ${incarnation}/${index} to a state of other entries than those before it`,
      )
    }
  }

  /** A copy has restored a state that it says holds the entries before `next`. */
  restored(who: string, token: string, next: Position, digest: number): void {
    const sequences = this.#sequences.get(key(token, next.incarnation)) ?? []
    this.#trace.count('restores')
    const right =
      next.index === 0 ? digest === 0 : sequences.some((sequence) => digestAt(sequence, next.index) === digest)
    if (!right) {
      this.#trace.violation(
        'S7',
        `${who} restores ${token} at ${next.incarnation}/${next.index} to a state that is not that of the log`,
      )
    }
  }

  /**
   * A copy serves an epoch: it must hold all that had counted before. What was restored from a snapshot, or replayed from an open frame that came
   * late, shows here even if nobody writes.
   */
  serves(who: string, token: string, epoch: number, next: Position, digest: number): void {
    const before = this.#before.get(`${key(token, next.incarnation)} ${epoch}`)
    const sequences = this.#sequences.get(key(token, next.incarnation)) ?? []
    const where = `${who} serves ${token} at ${pair(next)} in epoch ${epoch}`
    if (before === undefined) this.#trace.violation('S3', `${where}, which its log has not begun`)
    else if (next.index < before) this.#trace.violation('S1', `${where}, before which ${before} entries had counted`)
    else if (next.index > 0 && !sequences.some((sequence) => digestAt(sequence, next.index) === digest))
      this.#trace.violation('S2', `${where} with a state that is not that of the log`)
    this.#trace.count('served')
  }

  acknowledged(operation: Operation, position: Position): void {
    const where = this.#where.get(operation.id)
    if (where === undefined) this.#trace.violation('S1', `op ${operation.id} is acknowledged and not in the log`)
    else if (where.incarnation !== position.incarnation || where.index !== position.index) {
      this.#trace.violation(
        'S5',
        `op ${operation.id} is acknowledged at ${pair(position)} and stands at ${pair(where)}`,
      )
    }
    const last = this.#acknowledged.get(operation.token)
    if (last === undefined || comparePositions(last, position) < 0) this.#acknowledged.set(operation.token, position)
  }

  /** The newest position of a token that a client was told of. */
  acknowledgedUpTo(token: string): Position | undefined {
    return this.#acknowledged.get(token)
  }

  rejected(operation: Operation): void {
    if (this.#where.has(operation.id)) {
      this.#trace.violation('S5', `op ${operation.id} is definitely rejected (${operation.code}), and counts`)
    }
  }

  committed(operation: Operation): void {
    if (!this.#where.has(operation.id))
      this.#trace.violation('S5', `op ${operation.id} is said to be committed, and is not in the log`)
  }

  dropping(log: StoredLog, before: Offset, why: 'truncate' | 'release'): void {
    this.#trace.add('log', `${log.address} drops what is below ${before} (${why})`)
    this.#trace.count(why === 'truncate' ? 'truncations' : 'releases')
    if (why === 'release') this.releasedAtMs = this.#trace.nowMs()
    for (const view of this.#views.get(log)?.values() ?? []) this.#drops.check(log, view, before, why)
  }

  /** Entries of the token's newest incarnation, and the state's digest after them; undefined when it is deleted or was never opened. */
  truth(token: string): { readonly incarnation: number; readonly length: number; readonly digest: number } | undefined {
    const newest = this.#newest(token)
    if (newest === undefined || newest.incarnation === 0 || newest.deleted) return undefined
    const sequence = this.#sequences.get(key(token, newest.incarnation))?.findLast(({ forgotten }) => !forgotten)
    return { incarnation: newest.incarnation, length: sequence?.ids.length ?? 0, digest: sequence?.digests.at(-1) ?? 0 }
  }

  /**
   * The coordinator has lost its documents, and of a deleted token nothing else need be left: if it is created again it begins a new life, whose
   * incarnations may begin again too.
   */
  forget(): void {
    for (const token of new Set([...this.#views.values()].flatMap((views) => [...views.keys()]))) {
      if (this.#newest(token)?.deleted !== true) continue
      this.#lives.set(token, this.lifeOf(token) + 1)
      this.#home.delete(token)
      this.#acknowledged.delete(token)
      this.#removals.forget(token)
      for (const [log, views] of this.#views) {
        const view = views.get(token)
        if (view === undefined || view.forgotten) continue
        view.forgotten = true
        view.forgottenAt = log.end
        this.#recall(log, view)
      }
      for (const [name, sequences] of this.#sequences) {
        if (name.startsWith(`${token} `)) for (const sequence of sequences) sequence.forgotten = true
      }
    }
  }

  /** A late copy of an open frame, in a log from which all else was dropped, is where a new life of the token begins. */
  #recall(log: StoredLog, view: View): void {
    const state = emptyState()
    const rule = ruleState()
    for (const { offset, bytes } of log.records) {
      const frame = decodeFrame(bytes)
      if (frame.kind === 'skipped' || frame.token !== view.token) continue
      judge(rule, frame)
      if (admit(state, view.token, frame) === 'opened') view.openedAt = offset
    }
    if (state.incarnation > 0 && !state.deleted) Object.assign(view, { forgotten: false, state, rule })
  }

  /** How often the token was forgotten. */
  lifeOf(token: string): number {
    return this.#lives.get(token) ?? 0
  }

  /** The open frame of a new life, in a log from which the former one was dropped: a reader that starts there knows nothing of that. */
  #begins(view: View): void {
    view.forgotten = false
    view.state = emptyState()
    view.rule = ruleState()
  }

  /** The log that the token lives in, if it does. */
  home(token: string): StoredLog | undefined {
    if (this.truth(token) === undefined) return undefined
    for (const [log, views] of this.#views) if (views.get(token)?.state === this.#newest(token)) return log
    return undefined
  }

  newestIncarnation(token: string): number {
    return this.#newest(token)?.incarnation ?? 0
  }

  #newest(token: string): CopyState | undefined {
    let newest: CopyState | undefined
    for (const views of this.#views.values()) {
      const view = views.get(token)
      if (view === undefined || view.forgotten) continue
      if (newest === undefined || view.state.incarnation > newest.incarnation) newest = view.state
    }
    return newest
  }

  #view(log: StoredLog, token: string): View {
    const views = this.#views.get(log) ?? new Map<string, View>()
    this.#views.set(log, views)
    let view = views.get(token)
    if (view === undefined)
      views.set(
        token,
        (view = { token, state: emptyState(), rule: ruleState(), forgotten: false, forgottenAt: 0n, openedAt: 0n }),
      )
    return view
  }

  /** How many entries an incarnation of the token's present life holds. */
  #length(token: string, incarnation: number): number {
    return this.#sequences.get(key(token, incarnation))?.findLast(({ forgotten }) => !forgotten)?.ids.length ?? 0
  }

  #sequence(token: string, incarnation: number, address: string): Sequence {
    const name = key(token, incarnation)
    const known = this.#sequences.get(name) ?? []
    this.#sequences.set(name, known)
    let sequence = known.at(-1)
    if (sequence === undefined || sequence.forgotten) {
      known.push((sequence = { address, forgotten: false, ids: [], digests: [] }))
    }
    if (sequence.address !== address)
      this.#trace.violation('S3', `${token}, incarnation ${incarnation}, is written to two logs`)
    return sequence
  }
}

function digestAt(sequence: Sequence, index: number): number {
  return index === 0 ? 0 : (sequence.digests[index - 1] ?? -1)
}

function key(token: string, incarnation: number): string {
  return `${token} ${incarnation}`
}

function pair(position: Position): string {
  return `${position.incarnation}/${position.index}`
}
