/**
 * The controller's slow work on one token: giving it a log and an open frame, ending its incarnation, and cleaning up after it. Each is safe to repeat, and
 * safe to be carried out late by a controller that was deposed meanwhile.
 */
import {
  KagamiError,
  type CommitLog,
  type Offset,
  type Seams,
  type SnapshotStore,
  type TokenLog,
} from '../contract/index.js'
import type { Assignment, Spec } from '../engine/documents.js'
import { decodeFrame, encodeFrame } from '../engine/frame.js'

export interface LifecycleContext {
  readonly log: CommitLog
  readonly store: SnapshotStore
  readonly clock: Seams['clock']
  readonly signal: AbortSignal
}

/** Finds a log for a new incarnation. Nothing is written to it yet. */
export async function allocateIncarnation(
  context: LifecycleContext,
  spec: Spec,
  before: Assignment | undefined,
  inUse: ReadonlySet<string>,
): Promise<Assignment> {
  const { log, signal } = context
  const address = await log.allocate(spec.token, inUse, { signal })
  const opened = await log.open(address, { token: spec.token, signal })
  try {
    return {
      token: spec.token,
      generation: spec.generation,
      incarnation: (before?.incarnation ?? 0) + 1,
      phase: 'opening',
      log: { address, identity: opened.identity },
      epoch: 0,
      primary: null,
      replicas: [],
      snapshotter: null,
      handoverGivenUp: null,
    }
  } finally {
    await opened.close()
  }
}

/** Takes an existing log over, as a spec describes it. What the description misses is healed by the copies. */
export function adoptIncarnation(
  spec: Spec,
  adopt: NonNullable<Spec['adopt']>,
  replicas: readonly string[],
): Assignment {
  return {
    token: spec.token,
    generation: spec.generation,
    incarnation: adopt.incarnation,
    phase: 'open',
    log: adopt.log,
    epoch: adopt.epoch,
    primary: null,
    replicas,
    snapshotter: null,
    handoverGivenUp: null,
  }
}

/** Writes the frame that opens the incarnation, and reads it back. */
export async function openIncarnation(context: LifecycleContext, assignment: Assignment): Promise<Assignment> {
  await appendOpen(context, assignment, assignment.incarnation, false)
  return { ...assignment, phase: 'open' }
}

/** Writes the frame that ends the incarnation, and reads it back: from then on nothing pending can be applied. */
export async function endIncarnation(context: LifecycleContext, assignment: Assignment): Promise<Assignment> {
  const incarnation = assignment.incarnation + 1
  await appendOpen(context, assignment, incarnation, true)
  return { ...assignment, incarnation, phase: 'deleted', primary: null, replicas: [], snapshotter: null }
}

/** Drops the log and the snapshots of an incarnation that has ended. */
export async function cleanUp(context: LifecycleContext, assignment: Assignment): Promise<Assignment> {
  const { log, store, signal } = context
  const { token } = assignment
  const opened = await log.open(assignment.log.address, { token, signal })
  try {
    // What lands above this end later belongs to nobody, or to whoever is given the address next.
    if (opened.identity === assignment.log.identity) {
      await log.release(assignment.log.address, await ownEnd(opened, token, signal), { signal })
    }
  } finally {
    await opened.close()
  }
  for (const ref of await store.list(token, { signal })) {
    if (ref.meta.incarnation < assignment.incarnation) await store.delete(token, ref.meta.id, { signal })
  }
  return { ...assignment, phase: 'gone' }
}

/**
 * Up to where a log holds nothing of another token. A coordinator that has lost its documents may have let another token have the
 * same log, and a token that is taken away must not take its neighbour along.
 */
async function ownEnd(log: TokenLog, token: string, signal: AbortSignal): Promise<Offset> {
  const { start, end } = await log.range({ signal })
  if (start === end) return end
  for await (const batch of log.read(start, { signal, lookMs: 1_000, maxBatchBytes: 1_048_576 })) {
    for (const { offset, bytes } of batch.records) {
      if (offset >= end) return end
      const frame = decodeFrame(bytes)
      if (frame.kind !== 'skipped' && frame.kind !== 'marker' && frame.token !== token) return offset
    }
    if (batch.next >= end || batch.next === batch.end) return end
  }
  return end
}

async function appendOpen(
  context: LifecycleContext,
  assignment: Assignment,
  incarnation: number,
  deleted: boolean,
): Promise<void> {
  const { log, clock, signal } = context
  const { token } = assignment
  const opened = await log.open(assignment.log.address, { token, signal })
  try {
    const { address, identity } = assignment.log
    if (opened.identity !== identity) throw logReplaced(token, address)
    const bytes = encodeFrame({ kind: 'open', token, incarnation, deleted, address, identity, timeMs: clock.now() })
    const offset = await opened.append(bytes, { signal })
    await readBack(opened, offset, token, incarnation, signal)
  } finally {
    await opened.close()
  }
}

async function readBack(
  log: TokenLog,
  offset: Offset,
  token: string,
  incarnation: number,
  signal: AbortSignal,
): Promise<void> {
  for await (const batch of log.read(offset, { signal, lookMs: 1_000, maxBatchBytes: 65_536 })) {
    const record = batch.records[0]
    if (record === undefined) continue
    const frame = decodeFrame(record.bytes)
    if (record.offset === offset && frame.kind === 'open' && frame.token === token && frame.incarnation === incarnation)
      return
    break
  }
  throw new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `the open frame of '${token}' was acknowledged at offset ${offset}, but another record is there`,
    {
      retryable: true,
    },
  )
}

function logReplaced(token: string, address: string): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_REPLACED',
    `the log at '${address}' is not the one that token '${token}' was given; it was deleted and created anew`,
    { details: { token, address } },
  )
}
