/** A handover that an application asks for: wishes for it, and follows it until the other node serves. The controller carries it out. */
import { badOption, isKagamiError, KagamiError, type Clock, type Document, type Random } from '../contract/index.js'
import { compareEpochs } from '../engine/admission.js'
import { bucketOf, reportDocument, type CopyReport, type Spec } from '../engine/documents.js'
import { carriedOut, type Wish } from './carried-out.js'
import { noCopy, unknownToken } from './copy-errors.js'
import type { Directory } from './directory.js'
import { refuseHeld } from './holdings.js'
import type { Membership } from './membership.js'
import type { SpecChanges } from './spec-changes.js'
import { backoffMs, linkedAbort, sleep } from './waiting.js'

export interface HandoverContext {
  readonly membership: Pick<Membership, 'members' | 'requireSession'>
  readonly directory: Directory
  readonly specs: SpecChanges
  readonly clock: Clock
  readonly random: Random
}

/**
 * Resolves when `to` serves the token.
 * @throws KAGAMI_BAD_OPTION, KAGAMI_TOKEN_UNKNOWN, KAGAMI_TOKEN_OWNED, KAGAMI_NO_COPY, KAGAMI_SUPERSEDED, the signal's reason
 */
export async function handOver(
  token: string,
  to: string,
  context: HandoverContext,
  signal: AbortSignal,
): Promise<void> {
  const { membership, directory, specs, random } = context
  const able = membership.members.filter(({ data }) => data.draining === 'no').map(({ node }) => node)
  if (!able.includes(to)) {
    throw badOption(
      'to',
      to,
      `the id of a live node that is not being drained: ${able.join(', ') || 'none is there now'}`,
    )
  }
  const nonce = random.uint64().toString(16)
  let taken = { incarnation: 0, epoch: 0 }
  /** Of which creation of the token it was asked for. */
  let generation: number | undefined
  /** The handover that was wanted before this one; undefined before this one is asked for. */
  let before: string | null | undefined
  /** This node has heard of it: what it hears since is newer. Until then it may hear of any that was wanted before. */
  let heard = false
  /** Another handover that was asked for after this one, in a spec that is newer than it. */
  const later = ({ handover }: Spec): Spec['handover'] =>
    before === undefined || handover?.nonce === nonce || handover?.nonce === before ? null : handover
  const refuseOther = (spec: Spec): void => {
    const other = later(spec)
    if (other !== null && other.to !== to) throw superseded(token, to, other.to)
  }
  const wish: Wish = {
    token,
    ask: async (signal) => {
      let present: string | null = null
      const changed = await specs.change(token, generation, signal, (spec) => {
        refuseOther(spec)
        refuseHeld(spec, to)
        present = spec.handover?.nonce ?? null
        return later(spec) === null ? { ...spec, handover: { to, nonce } } : spec
      })
      generation ??= changed.generation
      before ??= present
    },
    // One that was given up brings nothing, though it is to the same node: documents that have gone back may show such a one.
    stands: () => {
      const stood = directory.spec(token)?.handover
      return stood?.to === to && directory.assignment(token)?.handoverGivenUp !== stood.nonce
    },
    done: () => {
      const spec = directory.spec(token)
      if (spec !== undefined && isOver(spec, generation ?? 0)) throw unknownToken(token)
      heard ||= spec?.handover?.nonce === nonce
      const assignment = directory.assignment(token)
      const followed = (heard && spec !== undefined ? later(spec) : null)?.nonce ?? nonce
      if (spec?.handover?.nonce === followed) refuseHeld(spec, to)
      if (assignment?.handoverGivenUp === followed) throw lostTarget(token, to)
      if (assignment?.primary?.node === to) {
        taken = assignment
        return true
      }
      // Where this one was overtaken before this node has heard of it, the next look at the document tells.
      if (heard && spec !== undefined) refuseOther(spec)
      return false
    },
  }
  do await carriedOut(wish, context, signal)
  while ((await untilServing(token, to, { ...taken, generation: generation ?? 0 }, context, signal)) === 'undone')
}

/** Whether a creation of the token is removed. What this node has heard may be of an earlier one. */
function isOver(spec: Spec, generation: number): boolean {
  return spec.removed && spec.generation >= generation
}

/** An assignment that is not to be found for so long is lost, and not only on its way back. */
const LOST_MS = 5_000

/** Follows the report of the node that takes over, until it serves, or can't any more, or until the coordinator knows nothing of the handover any more. */
async function untilServing(
  token: string,
  node: string,
  taken: { readonly incarnation: number; readonly epoch: number; readonly generation: number },
  { membership, directory, clock, random }: HandoverContext,
  signal: AbortSignal,
): Promise<'serves' | 'undone'> {
  const link = linkedAbort(signal)
  const hindered = (): boolean => {
    const spec = directory.spec(token)
    if (spec !== undefined && isOver(spec, taken.generation)) throw unknownToken(token)
    const assignment = directory.assignment(token)
    // Taken away again, though nobody else may be able to serve it.
    if (assignment === undefined) return false
    const order = compareEpochs(assignment, taken)
    if (assignment.primary?.node !== node && order >= 0) throw noCopy(token)
    // The documents have gone back to before it.
    return order < 0
  }
  const undone = async (): Promise<'undone'> => {
    await directory.until(token, hindered, link.signal)
    return 'undone'
  }
  const lost = async (): Promise<'undone'> => {
    for (let missing = 0; missing < 2;) {
      await sleep(clock, LOST_MS, link.signal)
      missing = directory.assignment(token) === undefined ? missing + 1 : 0
    }
    return 'undone'
  }
  const reported = async (): Promise<'serves'> => {
    const name = `reports/${node}/${bucketOf(token)}`
    for (let failures = 0; ; failures++) {
      try {
        for await (const documents of membership.requireSession().watch(name, { signal: link.signal })) {
          if (reportsIn(documents.get(name)).some((report) => report.token === token && serves(report, taken)))
            return 'serves'
        }
      } catch (error) {
        link.signal.throwIfAborted()
        // The node's next session tells.
        if (!isKagamiError(error, 'KAGAMI_SESSION_LOST')) throw error
      }
      await sleep(clock, backoffMs(failures, { first: 50, longest: 1000 }, random), link.signal)
    }
  }
  try {
    return await Promise.race([reported(), undone(), lost()])
  } finally {
    link.abort(new KagamiError('KAGAMI_STOPPED', 'the handover is over'))
  }
}

/** None where they can't be read: their node writes them anew. */
function reportsIn(document: Document | undefined): readonly CopyReport[] {
  if (document === undefined) return []
  try {
    return reportDocument.decode(document.bytes, document.name).tokens
  } catch (error) {
    if (isKagamiError(error, 'KAGAMI_BAD_DOCUMENT')) return []
    throw error
  }
}

/** Whether a copy serves as the primary, in an epoch that is not below another. */
export function serves({ incarnation, serving }: CopyReport, taken: Parameters<typeof compareEpochs>[0]): boolean {
  return serving > 0 && compareEpochs({ incarnation, epoch: serving }, taken) >= 0
}

function superseded(token: string, to: string, other: string): KagamiError {
  return new KagamiError(
    'KAGAMI_SUPERSEDED',
    `the handover of '${token}' to '${to}' was given up, since somebody has asked for one to '${other}' meanwhile`,
    { details: { token, to, other } },
  )
}

function lostTarget(token: string, to: string): KagamiError {
  return new KagamiError(
    'KAGAMI_NO_COPY',
    `the handover of '${token}' was given up: node '${to}' was lost, is being drained, its copy has failed, or the log refuses what it appends. Choose another node`,
    {
      retryable: true,
      details: { token, to },
    },
  )
}
