/** The state of a copy in one line, to compare copies by: a hash of everything in it, and its ledger at the same position. */
import { createHash } from 'node:crypto'
import type { LedgerCounts } from './cells.js'
import { emptyLedger, type LedgerRow } from './ledger.js'
import type { KvMachine } from './kv-machine.js'

export interface Digest {
  /** SHA-256 of the state as a snapshot would hold it, in hex. */
  readonly hash: string
  readonly counts: LedgerCounts
  readonly rows: readonly LedgerRow[]
}

/** Captures at once, and hashes while later entries are applied. */
export async function digestOf(machine: KvMachine, signal: AbortSignal): Promise<Digest> {
  const { ledger } = machine
  const captured = machine.snapshot()
  try {
    const [counts, rows] = [ledger?.counts ?? emptyLedger, [...(ledger?.rows() ?? [])]]
    const hash = createHash('sha256')
    for await (const chunk of captured.persist({ signal })) hash.update(chunk)
    return { hash: hash.digest('hex'), counts, rows }
  } finally {
    captured.release()
  }
}
