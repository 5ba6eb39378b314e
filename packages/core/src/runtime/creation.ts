/**
 * A token that an application asks for: creates it, or claims it, or finds it, and follows it until it has a primary. The controller carries it out.
 */
import type { Clock, KagamiError } from '../contract/index.js'
import { generationOf, isRemoved, type Spec } from '../engine/documents.js'
import type { Role } from './api.js'
import { carriedOut } from './carried-out.js'
import { unknownToken } from './copy-errors.js'
import type { Directory } from './directory.js'
import type { Membership } from './membership.js'
import type { TokenSettings } from './method-options.js'
import type { TokenSpecs } from './token-specs.js'

export interface CreationContext {
  readonly node: string
  readonly membership: Membership
  readonly directory: Directory
  readonly specs: TokenSpecs
  readonly clock: Clock
  copy(token: string): { readonly role: Role } | undefined
  /** Why the token can't be served by this run of the node, if its copy has failed; it may be gone since. */
  failure(token: string): KagamiError | undefined
}

/**
 * Resolves when the token has a live primary; with `primary: 'self'`, when this node serves it, unless somebody has handed it elsewhere, or it has
 * failed over, meanwhile.
 * @throws KAGAMI_TOKEN_OPTIONS, KAGAMI_TOKEN_OWNED, KAGAMI_TOKEN_EXISTS, KAGAMI_TOKEN_UNKNOWN when it is removed meanwhile,
 * KAGAMI_TOKEN_FAILED, KAGAMI_STORE_FULL, the signal's reason
 */
export async function createToken(
  token: string,
  wanted: TokenSettings,
  adopt: boolean,
  context: CreationContext,
  signal: AbortSignal,
): Promise<void> {
  const { node, directory, membership, specs } = context
  const before = generationOf(directory.assignment(token)?.incarnation ?? 0)
  let spec: Spec | undefined
  const isLive = (member: string | undefined): boolean => membership.members.some((live) => live.member === member)
  const ask = async (signal: AbortSignal): Promise<void> => {
    spec = await specs.ensure(token, wanted, adopt, signal)
  }
  const stands = (): boolean => {
    const latest = directory.spec(token)
    if (latest === undefined || spec === undefined || latest.generation < spec.generation) return false
    // Claimed by another node while this one was not alive: to ask again tells whether it may be had back.
    if (latest.generation === spec.generation && latest.owner !== spec.owner) return false
    const claim = claimOf(spec, node)
    return claim === undefined || latest.handover?.nonce === claim
  }
  const done = (): boolean => {
    if (spec === undefined) return false
    const latest = directory.spec(token)
    if (latest?.removed && latest.generation >= spec.generation) throw unknownToken(token)
    const assignment = directory.assignment(token)
    if (assignment?.phase !== 'open' || isRemoved(spec, assignment.incarnation)) return false
    const mine = isOwner(spec, node)
    const claim = claimOf(spec, node)
    // The spec alone may be of a later creation than the incarnation: one that it began was found to be there.
    const created = mine && generationOf(assignment.incarnation) > before
    const claimed = claim !== undefined && assignment.handoverGivenUp !== claim
    // An owner that returns finds itself named as the primary by what its former run has left.
    const returns = mine && assignment.primary?.node === spec.owner
    const failure = context.failure(token)
    // Nobody else may serve it.
    if (mine && spec.failover === 'hold' && failure !== undefined) throw failure
    if (!created && !claimed && !returns) return isLive(assignment.primary?.member)
    // It never came to serve here, and has failed over: there it stays.
    const comesBack = claimed || spec.failback || spec.failover === 'hold'
    if (!comesBack && assignment.primary?.node !== node && isLive(assignment.primary?.member)) return true
    if (failure !== undefined) throw failure
    return context.copy(token)?.role === 'primary'
  }
  await carriedOut({ token, ask, stands, done }, context, signal)
}

function isOwner(spec: Spec, node: string): boolean {
  return spec.primary === 'self' && spec.owner === node
}

/** The handover that brings the primary to the owner, if this node is the owner and asks for it. */
function claimOf(spec: Spec, node: string): string | undefined {
  return isOwner(spec, node) && spec.handover?.to === node ? spec.handover.nonce : undefined
}
