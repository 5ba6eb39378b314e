/**
 * The controller's slow work on one token: giving it a log and an open frame, ending its incarnation, and cleaning up after it. Each is safe to repeat, and
 * safe to be carried out late by a controller that was deposed meanwhile.
 */
import { isKagamiError, KagamiError, type Offset, type Seams, type TokenLog } from '../contract/index.js'
import { copiesOf } from '../engine/assignment-steps.js'
import { generationOf, incarnationAbove, type Assignment, type LogRef, type Spec } from '../engine/documents.js'
import { decodeFrame, encodeFrame } from '../engine/frame.js'
import type { LogKeeper, SnapshotShelf } from './impatient.js'
import { findLeftBehind, isDamage, readHistory, type LogHistory } from './log-history.js'

/** While an open frame is read back. */
const LOOK_MS = 1_000
/** What the log has acknowledged everyone can read. After so many looks that don't show it, it is written again. */
const MOST_LOOKS = 3

export interface LifecycleContext {
  readonly log: LogKeeper
  readonly store: SnapshotShelf
  readonly clock: Seams['clock']
  readonly signal: AbortSignal
}

export interface Surroundings {
  /** Logs that are given to a token, as far as documents say. */
  readonly inUse: ReadonlySet<string>
  /** Those of which a live node says so too: the documents may have gone back. */
  readonly held: ReadonlySet<string>
  /** The nodes that hold a copy of this token. */
  readonly holders: readonly string[]
}

/**
 * Gives a token that has no incarnation one: what is left of it where its assignment was lost, else a new one in an empty log, to which nothing is
 * written yet. One that is to be removed, and of which nothing is left, is gone.
 */
export async function beginIncarnation(
  context: LifecycleContext,
  spec: Spec,
  before: Assignment | undefined,
  { inUse, held, holders }: Surroundings,
): Promise<Assignment> {
  const { token, generation, adopt } = spec
  // One that is to be opened, but not in the log that it was given first, is not over.
  const ended = before === undefined ? 0 : before.incarnation - (before.phase === 'opening' ? 1 : 0)
  if (adopt !== null && adopt.incarnation > ended) return adoptIncarnation(token, adopt, holders)
  const found = await findLeftBehind(token, held, context)
  // Where it is known that the token has ended, a damaged log is what it has left. Else it may hold what nobody knows of.
  if (before === undefined && found.unreadable !== undefined) throw found.unreadable
  if (found.alive !== null && found.alive.incarnation > ended) return adoptIncarnation(token, found.alive, holders)
  const above = Math.max(ended, found.incarnation)
  if (spec.removed) {
    const incarnation = incarnationAbove(above, generation) + 1
    return assignmentOf(token, { incarnation, phase: 'gone', log: { address: '', identity: '' } })
  }
  return assignmentOf(token, {
    incarnation: incarnationAbove(above, generation),
    phase: 'opening',
    log: await allocate(context, token, inUse),
  })
}

/** What the logs or the snapshots show of a newer incarnation than the assignment's; undefined: there is none. A log that is damaged says nothing. */
export async function newerIncarnation(
  context: LifecycleContext,
  { token, incarnation }: Assignment,
  held: ReadonlySet<string>,
): Promise<Assignment | undefined> {
  const { alive } = await findLeftBehind(token, held, context)
  return alive === null || alive.incarnation <= incarnation ? undefined : adoptIncarnation(token, alive, [])
}

async function allocate({ log, signal }: LifecycleContext, token: string, inUse: ReadonlySet<string>): Promise<LogRef> {
  const address = await log.allocate(token, inUse, { signal })
  const opened = await log.open(address, { token, signal })
  try {
    return { address, identity: opened.identity }
  } finally {
    await opened.close()
  }
}

/** Takes an existing log over. What is not known of it is healed by the copies. */
function adoptIncarnation(
  token: string,
  { incarnation, epoch, log }: NonNullable<Spec['adopt']>,
  replicas: readonly string[],
): Assignment {
  return { ...assignmentOf(token, { incarnation, phase: 'open', log }), epoch, replicas }
}

function assignmentOf(token: string, own: Pick<Assignment, 'incarnation' | 'phase' | 'log'>): Assignment {
  const reached = { incarnation: own.incarnation, index: 0 }
  return { token, ...own, epoch: 0, reached, primary: null, replicas: [], snapshotter: null, handoverGivenUp: null }
}

/**
 * Whether the log shows an open incarnation to be dead: nothing was ever written in it, and somebody else had the log when its open frame landed. So that is
 * a late copy of a frame, and the documents have gone back.
 */
export async function isDead(
  { log, store, signal }: LifecycleContext,
  { token, incarnation, log: { address, identity } }: Assignment,
): Promise<boolean> {
  const opened = await log.open(address, { token, signal })
  try {
    if (opened.identity !== identity) return false
    const lives = (seen: Pick<LogHistory, 'incarnation' | 'epoch' | 'deleted'>): boolean =>
      seen.incarnation > incarnation || (seen.incarnation === incarnation && (seen.epoch > 0 || seen.deleted))
    const history = await readHistory(opened, token, { enough: lives, signal })
    if (lives(history) || history.incarnation !== incarnation || history.before.length === 0) return false
  } finally {
    await opened.close()
  }
  const snapshots = await store.list(token, { signal })
  return !snapshots.some(({ meta }) => meta.incarnation === incarnation)
}

/**
 * Whether an incarnation that is to be opened is new, and its log holds nothing of others but what is over. Documents that have gone back
 * may speak of one that was opened, and ended, long ago, and of a log that was given to another since.
 */
export async function isNew(
  context: LifecycleContext,
  { token, incarnation, log: ref }: Assignment,
  held: ReadonlySet<string>,
): Promise<boolean> {
  const { log, signal } = context
  const found = await findLeftBehind(token, held, context)
  if (found.unreadable !== undefined) throw found.unreadable
  if (found.incarnation >= incarnation) return false
  const opened = await log.open(ref.address, { token, signal })
  try {
    if (opened.identity !== ref.identity) return false
    return (await readHistory(opened, token, { signal })).others.length === 0
  } finally {
    await opened.close()
  }
}

/**
 * Writes the frame that opens the incarnation, and reads it back. Undefined where somebody else was in the log before: it needs another one.
 * @throws KAGAMI_LOG_REPLACED when the log is gone: likewise
 */
export async function openIncarnation(
  context: LifecycleContext,
  assignment: Assignment,
): Promise<Assignment | undefined> {
  const history = await appendOpen(context, assignment, assignment.incarnation, false)
  if (!isInForce(history, assignment.incarnation, false)) return corrected(assignment, history)
  return history.before.length > 0 ? undefined : { ...assignment, phase: 'open' }
}

/**
 * Writes the frame that ends the incarnation, and reads it back: from then on nothing pending can be applied. Nor can it where the log itself is
 * gone, or damaged.
 */
export async function endIncarnation(context: LifecycleContext, assignment: Assignment): Promise<Assignment> {
  const incarnation = 2 * generationOf(assignment.incarnation)
  const history = await unlessLost(appendOpen(context, assignment, incarnation, true))
  if (history !== undefined && !isInForce(history, incarnation, true)) return corrected(assignment, history)
  // What stays of it for good is kept small: nobody wants anything of it any more.
  const { wanted: _, ...rest } = assignment
  return { ...rest, incarnation, phase: 'deleted', primary: null, replicas: [], snapshotter: null }
}

/** Drops the log and the snapshots of an incarnation that has ended. */
export async function cleanUp(context: LifecycleContext, assignment: Assignment): Promise<Assignment> {
  const { store, signal } = context
  const { token, incarnation } = assignment
  const history = await unlessLost(releaseLog(context, assignment))
  if (history !== undefined && history.incarnation > incarnation) return corrected(assignment, history)
  for (const ref of await store.list(token, { signal })) {
    if (ref.meta.incarnation < incarnation) await store.delete(token, ref.meta.id, { signal })
  }
  return { ...assignment, phase: 'gone' }
}

/** Releases the log of an incarnation that has ended, and gives what it said. Leaves it alone where it shows a newer one. */
async function releaseLog(
  { log, signal }: LifecycleContext,
  { token, incarnation, log: { address, identity } }: Assignment,
): Promise<LogHistory> {
  const opened = await log.open(address, { token, signal })
  try {
    if (opened.identity !== identity) throw logReplaced(token, address)
    const history = await readHistory(opened, token, { signal })
    // What lands above this end later belongs to nobody, or to whoever is given the address next. A coordinator that has lost its documents may
    // have let another token have the same log, and a token that is taken away must not take its neighbour along.
    if (history.incarnation <= incarnation) await log.release(address, history.ownEnd, { signal })
    return history
  } finally {
    await opened.close()
  }
}

/**
 * Undefined where the log is not there any more, or is damaged: nobody can read what it holds of the token. What is damaged stays where it is, since
 * it can't be seen whether another token has records there.
 */
async function unlessLost(work: Promise<LogHistory>): Promise<LogHistory | undefined> {
  try {
    return await work
  } catch (error) {
    if (isKagamiError(error, 'KAGAMI_LOG_REPLACED') || isDamage(error)) return undefined
    throw error
  }
}

/** Whether an open frame counts: every reader ignores one that follows a newer incarnation, or another of its own. */
function isInForce(history: LogHistory, incarnation: number, deleted: boolean): boolean {
  return history.incarnation === incarnation && history.deleted === deleted
}

/** The assignment as the log says it is: documents that have gone back speak of an incarnation that others have followed. */
function corrected(assignment: Assignment, { incarnation, epoch, deleted }: LogHistory): Assignment {
  return {
    ...assignment,
    incarnation,
    epoch,
    phase: deleted ? 'deleted' : 'open',
    primary: null,
    replicas: copiesOf(assignment),
  }
}

/** Gives what the log says once the frame is in it. */
async function appendOpen(
  context: LifecycleContext,
  assignment: Assignment,
  incarnation: number,
  deleted: boolean,
): Promise<LogHistory> {
  const { log, clock, signal } = context
  const { token } = assignment
  const opened = await log.open(assignment.log.address, { token, signal })
  try {
    const { address, identity } = assignment.log
    if (opened.identity !== identity) throw logReplaced(token, address)
    const bytes = encodeFrame({ kind: 'open', token, incarnation, deleted, address, identity, timeMs: clock.now() })
    const offset = await opened.append(bytes, { signal })
    await readBack(opened, offset, token, incarnation, signal)
    return await readHistory(opened, token, { below: offset + 1n, signal })
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
  let looks = 0
  for await (const batch of log.read(offset, { signal, lookMs: LOOK_MS, maxBatchBytes: 65_536 })) {
    const record = batch.records[0]
    if (record === undefined) {
      if (++looks > MOST_LOOKS) break
      continue
    }
    const frame = decodeFrame(record.bytes)
    if (record.offset === offset && frame.kind === 'open' && frame.token === token && frame.incarnation === incarnation)
      return
    break
  }
  throw new KagamiError(
    'KAGAMI_LOG_LOST_TAIL',
    `the open frame of '${token}' was acknowledged at offset ${offset}, but another record is there, or none`,
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
