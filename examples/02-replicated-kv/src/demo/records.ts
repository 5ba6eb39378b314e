/** What the clients themselves wrote down: the only witness that the verdict trusts. Knows nothing of the service. */

export interface WriteRecord {
  readonly client: string
  readonly number: number
  readonly token: string
  readonly key: string
  /** Requests that may have led to an entry: those sent, without those that were answered to have had no effect. */
  attempts: number
  /** Pending while the client still tries; unknown: it gave up on an answer that left it open. */
  state: 'pending' | 'acknowledged' | 'unknown' | 'never'
  /** At least one answer left open whether it took effect. */
  doubtful: boolean
  /** The position that was acknowledged: `<incarnation>.<index>`. */
  position: string | undefined
}

/** Compares `<incarnation>.<index>`: negative where `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [aIncarnation = 0, aIndex = 0] = a.split('.').map(Number)
  const [bIncarnation = 0, bIndex = 0] = b.split('.').map(Number)
  return aIncarnation - bIncarnation || aIndex - bIndex
}

export class Records {
  readonly writes: WriteRecord[] = []
  /** Linearizable reads that missed a write acknowledged before they began. */
  staleReads = 0
  reads = 0
  acknowledged = 0
  readonly #newest = new Map<string, string>()
  readonly #perToken = new Map<string, number>()
  readonly #lastAckMs = new Map<string, number>()
  readonly #longestGapMs = new Map<string, number>()

  begin(client: string, number: number, token: string, key: string): WriteRecord {
    const record: WriteRecord = {
      ...{ client, number, token, key },
      ...{ attempts: 0, state: 'pending', doubtful: false, position: undefined },
    }
    this.writes.push(record)
    return record
  }

  acknowledge(record: WriteRecord, position: string, nowMs: number): void {
    const { token, key } = record
    record.state = 'acknowledged'
    record.position = position
    this.acknowledged += 1
    const newest = this.#newest.get(key)
    if (newest === undefined || compareVersions(newest, position) < 0) this.#newest.set(key, position)
    this.#count(token)
    const last = this.#lastAckMs.get(token)
    if (last !== undefined) this.#gap(token, nowMs - last)
    this.#lastAckMs.set(token, nowMs)
  }

  /** The newest acknowledged version of a key: a linearizable read that begins now shows this one or a later. */
  newestOf(key: string): string | undefined {
    return this.#newest.get(key)
  }

  read(token: string): void {
    this.reads += 1
    this.#count(token)
  }

  /** Operations that were answered, per token. */
  operations(token: string): number {
    return this.#perToken.get(token) ?? 0
  }

  get total(): number {
    return this.acknowledged + this.reads
  }

  /** No more writes begin: a token that had been silent until now was so for that long. */
  end(nowMs: number): void {
    for (const [token, last] of this.#lastAckMs) this.#gap(token, nowMs - last)
  }

  /** The longest time that passed between two acknowledged writes of one of these tokens. */
  longestGapMs(tokens: Iterable<string>): number {
    let longest = 0
    for (const token of tokens) longest = Math.max(longest, this.#longestGapMs.get(token) ?? 0)
    return Math.round(longest)
  }

  #gap(token: string, ms: number): void {
    this.#longestGapMs.set(token, Math.max(ms, this.#longestGapMs.get(token) ?? 0))
  }

  #count(token: string): void {
    this.#perToken.set(token, (this.#perToken.get(token) ?? 0) + 1)
  }
}
