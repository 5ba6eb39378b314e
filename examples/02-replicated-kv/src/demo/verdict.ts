/**
 * The verdict: compares what clients saw acknowledged with what every copy says it has applied. Pure; believes no one who has an
 * interest: a figure that is missing counts against the service.
 */
import type { LedgerCounts } from '../state/cells.js'
import { isEven, type Spread } from './observer.js'
import type { WriteRecord } from './records.js'

/** One copy's ledger, after a `sync`. */
export interface CopyEvidence {
  readonly node: string
  readonly token: string
  /** Where it was read: `<incarnation>.<index>` of the next entry. */
  readonly position: string
  readonly hash: string
  readonly counts: LedgerCounts
  readonly rows: readonly (readonly [client: string, number: number, entries: number, effects: number, index: number])[]
}

export interface Evidence {
  readonly writes: readonly WriteRecord[]
  readonly staleReads: number
  readonly copies: readonly CopyEvidence[]
  readonly tokens: readonly string[]
  /** Copies that each token must have. */
  readonly copiesPerToken: number
  readonly killsWanted: number
  readonly kills: number
  /** Promotions that kills caused. */
  readonly promotions: number
  /** From a kill to the last promotion of a token that had its primary there. Null where something was never promoted. */
  readonly failoverMs: number | null
  readonly longestGapMs: number
  readonly spread: Spread
  /** Whatever else went wrong: a copy that failed, a wait that ended without success. */
  readonly complaints: readonly string[]
}

export interface Verdict {
  readonly ok: boolean
  /** Writes that were acknowledged. */
  readonly acknowledged: number
  /** Writes whose client gave up without knowing. */
  readonly indeterminate: number
  /** Writes that were retried after an answer that left their effect open, and then acknowledged. */
  readonly retried: number
  /** Acknowledged writes that some copy does not have, or has elsewhere than was acknowledged. */
  readonly lost: number
  /** Writes that took effect twice, or have more entries than were sent. */
  readonly duplicated: number
  /** Tokens whose copies are not equal. */
  readonly diverged: number
  /** Linearizable reads that missed an acknowledged write. */
  readonly staleReads: number
  readonly longestGapMs: number
  readonly failoverMs: number | null
  readonly spread: Spread
  readonly kills: number
  readonly promotions: number
  /** Copies that were compared. */
  readonly copies: number
  /** What is wrong, for people. Empty when `ok`. */
  readonly reasons: readonly string[]
}

/** What is said instead where the demonstration could not be carried out: without figures, since nothing was compared. */
export interface Failure {
  readonly ok: false
  /** What is wrong, for people. */
  readonly reasons: readonly string[]
}

export function judge(evidence: Evidence): Verdict {
  const { writes, copies, kills, promotions, staleReads, longestGapMs, failoverMs, spread } = evidence
  const findings = new Findings()
  const byToken = groupBy(writes, ({ token }) => token)
  const copiesOf = groupBy(copies, ({ token }) => token)
  for (const token of new Set([...evidence.tokens, ...byToken.keys()])) {
    const held = copiesOf.get(token) ?? []
    if (held.length !== evidence.copiesPerToken) {
      findings.say(`${token} has ${held.length} copies that could be read instead of ${evidence.copiesPerToken}`)
    }
    const written = byToken.get(token) ?? []
    // Without a copy nothing that was acknowledged is there.
    if (held.length === 0) for (const write of written) if (write.state === 'acknowledged') findings.lose(write)
    for (const copy of held) examine(copy, written, findings)
    if (new Set(held.map(({ position, hash }) => `${position} ${hash}`)).size > 1) findings.diverge(token)
  }
  const acknowledged = writes.filter(({ state }) => state === 'acknowledged').length
  if (acknowledged === 0) findings.say('no write was acknowledged')
  if (staleReads > 0) findings.say(`${staleReads} linearizable reads missed an acknowledged write`)
  if (kills < evidence.killsWanted) findings.say(`${kills} nodes were killed instead of ${evidence.killsWanted}`)
  if (evidence.killsWanted > 0 && promotions === 0) findings.say('no token was promoted')
  if (evidence.killsWanted > 0 && failoverMs === null) findings.say('a token that lost its primary was not promoted')
  if (!isEven(spread)) findings.say('the copies did not spread evenly')
  const reasons = [...findings.reasons(), ...evidence.complaints]
  return {
    ok: reasons.length === 0,
    acknowledged,
    indeterminate: writes.filter(({ state }) => state === 'unknown' || state === 'pending').length,
    retried: writes.filter(({ state, doubtful }) => state === 'acknowledged' && doubtful).length,
    lost: findings.lost.size,
    duplicated: findings.duplicated.size,
    diverged: findings.diverged.size,
    ...{ staleReads, longestGapMs, failoverMs, spread, kills, promotions },
    copies: copies.length,
    reasons,
  }
}

/** One copy against what clients know of its token. */
function examine(copy: CopyEvidence, written: readonly WriteRecord[], findings: Findings): void {
  const { node, token, counts, rows } = copy
  const at = `the copy of ${token} on ${node}`
  const [incarnation = '', next = ''] = copy.position.split('.')
  const ledger = new Map(rows.map((row) => [`${row[0]}:${row[1]}`, row]))
  const indexes = new Set<number>()
  let entries = 0
  for (const write of written) {
    const id = idOf(write)
    const row = ledger.get(id)
    ledger.delete(id)
    if (row === undefined) {
      if (write.state === 'acknowledged') findings.lose(write)
      continue
    }
    const [, , carried, effects, index] = row
    entries += carried
    if (effects > 1 || carried > write.attempts) findings.double(write)
    if (effects > 0 && indexes.has(index)) findings.say(`${at} has two writes at index ${index}`)
    indexes.add(index)
    const misplaced = write.position !== undefined && write.position !== `${incarnation}.${index}`
    if (write.state === 'acknowledged' && (effects === 0 || misplaced)) findings.lose(write)
  }
  if (ledger.size > 0) findings.say(`${at} has ${ledger.size} writes that no client made`)
  if (counts.repeatedIndexes > 0) findings.say(`${at} was given ${counts.repeatedIndexes} indexes twice`)
  if (counts.skippedIndexes > 0) findings.say(`${at} was not given ${counts.skippedIndexes} indexes`)
  if (counts.unrecorded > 0) findings.say(`the ledger of ${at} was full`)
  if (entries + counts.anonymous !== Number(next)) {
    findings.say(`${at} is at index ${next}, and its ledger has ${entries + counts.anonymous} entries`)
  }
}

class Findings {
  readonly lost = new Set<string>()
  readonly duplicated = new Set<string>()
  readonly diverged = new Set<string>()
  readonly #said: string[] = []

  say(reason: string): void {
    this.#said.push(reason)
  }

  lose(write: WriteRecord): void {
    this.lost.add(idOf(write))
  }

  double(write: WriteRecord): void {
    this.duplicated.add(idOf(write))
  }

  diverge(token: string): void {
    this.diverged.add(token)
  }

  reasons(): readonly string[] {
    const some = (ids: ReadonlySet<string>): string => [...ids].slice(0, 3).join(', ')
    const reasons: string[] = []
    if (this.lost.size > 0) reasons.push(`${this.lost.size} acknowledged writes are lost, such as ${some(this.lost)}`)
    if (this.duplicated.size > 0)
      reasons.push(`${this.duplicated.size} writes are there twice, such as ${some(this.duplicated)}`)
    if (this.diverged.size > 0) reasons.push(`the copies of ${some(this.diverged)} are not equal`)
    return [...reasons, ...this.#said]
  }
}

function idOf({ client, number }: WriteRecord): string {
  return `${client}:${number}`
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): ReadonlyMap<string, T[]> {
  const groups = new Map<string, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group === undefined) groups.set(keyOf(item), [item])
    else group.push(item)
  }
  return groups
}
