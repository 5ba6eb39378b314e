/** Logs to append to and ways to read them back, for the suite of `CommitLog`. Every batch that is read is checked here. */
import assert from 'node:assert/strict'
import type { CommitLog, LogBatch, LogRecord, Offset, TokenLog } from '@kagami/core/contract'
import type { CommitLogWorld } from './commit-log-world.js'
import { bytesOf, textOf } from './expect.js'
import type { Scope } from './runner.js'

export const lookMs = 50
/** So long that a look can't be what woke a reader. */
export const neverMs = 600_000
export const maxBatchBytes = 65_536
export const none: ReadonlySet<string> = new Set()

/** A commit log of each node, and each one's handle of one and the same log. */
export async function openOn(
  scope: Scope,
  world: CommitLogWorld,
  nodes: readonly string[],
  token = 'orders',
): Promise<{ readonly logs: readonly CommitLog[]; readonly handles: readonly TokenLog[] }> {
  const logs: CommitLog[] = []
  for (const node of nodes) logs.push(await scope.start(world.open(node), node))
  const address = await logs[0]!.allocate(token, none, scope.options)
  const handles: TokenLog[] = []
  for (const log of logs) handles.push(await openAt(scope, log, address, token))
  return { logs, handles }
}

/** One handle, of node `a`. */
export async function openOne(
  scope: Scope,
  world: CommitLogWorld,
): Promise<{ readonly log: CommitLog; readonly handle: TokenLog }> {
  const { logs, handles } = await openOn(scope, world, ['a'])
  return { log: logs[0]!, handle: handles[0]! }
}

export async function openAt(scope: Scope, log: CommitLog, address: string, token = 'orders'): Promise<TokenLog> {
  const handle = await log.open(address, { ...scope.options, token })
  scope.defer(() => handle.close())
  return handle
}

/** Appends one text after another. */
export async function appendAll(scope: Scope, handle: TokenLog, texts: readonly string[]): Promise<Offset[]> {
  const offsets: Offset[] = []
  for (const text of texts) offsets.push(await handle.append(bytesOf(text), scope.options))
  return offsets
}

export function numbered(count: number, prefix = 'r'): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`)
}

/** Reads on until so many records have come, and checks each batch. */
export async function readCount(
  scope: Scope,
  handle: TokenLog,
  from: Offset,
  count: number,
  options: { readonly lookMs?: number; readonly maxBatchBytes?: number } = {},
): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  const reading = async (): Promise<void> => {
    for await (const batch of checked(handle, from, scope, options)) {
      records.push(...batch.records)
      if (records.length >= count) return
    }
  }
  if (count > 0) await scope.within(reading(), `reading ${count} records from ${from}`)
  return records
}

/** The batches of a reading; one that breaks the contract's rules fails the case. */
export async function* checked(
  handle: TokenLog,
  from: Offset,
  scope: Scope,
  options: { readonly lookMs?: number; readonly maxBatchBytes?: number; readonly signal?: AbortSignal } = {},
): AsyncGenerator<LogBatch, void, void> {
  const bound = options.maxBatchBytes ?? maxBatchBytes
  const signal = options.signal ?? scope.signal
  let next = from
  let batches = 0
  for await (const batch of handle.read(from, { signal, lookMs: options.lookMs ?? lookMs, maxBatchBytes: bound })) {
    next = checkBatch(batch, next, bound)
    yield batch
    // An adapter that yields without ever waiting must not keep the case's own timers from firing.
    if (++batches % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  assert.fail('a reading ended by itself')
}

function checkBatch(batch: LogBatch, from: Offset, bound: number): Offset {
  let above = from
  let bytes = 0
  for (const record of batch.records) {
    assert.ok(record.offset >= above, `offset ${record.offset} came again, or out of order: expected ${above} or more`)
    above = record.offset + 1n
    bytes += record.bytes.byteLength
  }
  assert.ok(batch.next >= above, `next is ${batch.next}, not above the batch’s last record`)
  assert.ok(batch.next <= batch.end, `next is ${batch.next}, above the end ${batch.end}`)
  const fits = batch.records.length <= 1 || bytes <= 2 * bound
  assert.ok(fits, `a batch of ${bytes} bytes in ${batch.records.length} records; about ${bound} were allowed`)
  return batch.next
}

export function texts(records: readonly LogRecord[]): string[] {
  return records.map((record) => textOf(record.bytes))
}

/** All records that are readable now, by a reading of their own. */
export async function allRecords(scope: Scope, handle: TokenLog): Promise<LogRecord[]> {
  const { start } = await handle.range(scope.options)
  const records: LogRecord[] = []
  const reading = async (): Promise<void> => {
    for await (const batch of checked(handle, start, scope)) {
      records.push(...batch.records)
      if (batch.next === batch.end) return
    }
  }
  await scope.within(reading(), 'reading the whole log')
  return records
}
