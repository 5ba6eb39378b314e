/**
 * A token that an application asks for: creates it, or claims it, or finds it, and follows it until it has a primary. The controller carries it out.
 */
import type { Clock, KagamiError } from '../contract/index.js'
import { askedPrimary, holdsForOwner } from '../engine/assignment-steps.js'
import { isRemoved, type Assignment, type Spec } from '../engine/documents.js'
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
  copy(token: string): { readonly role: Role; readonly cannotWrite: boolean } | undefined
  /** Why the token can't be served by this run of the node, if its copy has failed; it may be gone since. */
  failure(token: string): KagamiError | undefined
}

/**
 * Resolves when the token has a live primary; with `primary: 'self'`, when this node serves it, unless it stays elsewhere. What people have altered, claimed or
 * handed over since the call counts as if the call had come after it.
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
  const { directory, specs } = context
  let asked: Spec | undefined
  /** This node has heard of the spec that asking gave: what it hears since is newer. Until then that may be older. */
  let heard = false
  const ask = async (signal: AbortSignal): Promise<void> => {
    asked = await specs.ensure(token, wanted, adopt, signal, asked)
    heard = false
  }
  /** The newest spec that is known; undefined before it was asked for. */
  const newest = (): Spec | undefined => {
    const latest = directory.spec(token)
    if (asked === undefined || latest === undefined || latest.generation < asked.generation) return asked
    heard ||= saysSame(latest, asked)
    return heard || latest.generation > asked.generation ? latest : asked
  }
  const stands = (): boolean => {
    const latest = directory.spec(token)
    // What was heard in between is not known of a spec that was never heard of as it was asked for: the document tells.
    return latest !== undefined && newest() === latest && isWanted(latest, wanted, context)
  }
  const done = (): boolean => {
    const spec = newest()
    if (asked === undefined || spec === undefined) return false
    const latest = directory.spec(token)
    if (latest?.removed && latest.generation >= asked.generation) throw unknownToken(token)
    // To ask again tells whether it may be had.
    if (!isWanted(spec, wanted, context)) return false
    const assignment = directory.assignment(token)
    if (assignment?.phase !== 'open' || isRemoved(spec, assignment.incarnation)) return false
    return spec.primary === 'self' ? isServedOrElsewhere(spec, assignment, context) : isLive(assignment, context)
  }
  await carriedOut({ token, ask, stands, done }, context, signal)
}

/** Whether this node, the owner, serves the token, or it is elsewhere and stays there. Throws where the copy here has failed. */
function isServedOrElsewhere(spec: Spec, assignment: Assignment, context: CreationContext): boolean {
  const elsewhere = assignment.primary?.node !== context.node && isLive(assignment, context)
  if (elsewhere && !comesBack(spec, assignment, context)) return true
  const failure = context.failure(spec.token)
  if (failure !== undefined) throw failure
  return context.copy(spec.token)?.role === 'primary'
}

/** Whether a token that is served elsewhere is to be brought to this node, its owner. */
function comesBack(spec: Spec, assignment: Assignment, context: CreationContext): boolean {
  const { node, membership } = context
  const drains = membership.members.some((live) => live.node === node && live.data.draining !== 'no')
  if (drains) return false
  const asked = askedPrimary(assignment, spec)
  if (asked !== undefined && !holdsForOwner(spec)) return asked === node
  // While this node can't write, another that can keeps it.
  return (spec.failback || holdsForOwner(spec)) && context.copy(spec.token)?.cannotWrite !== true
}

function isLive({ primary }: Assignment, { membership }: CreationContext): boolean {
  return membership.members.some((live) => live.member === primary?.member)
}

/** Whether a spec is for what was asked: where another node has claimed the token meanwhile, or created it anew for itself, it is not. */
function isWanted(spec: Spec, wanted: TokenSettings, { node }: CreationContext): boolean {
  return spec.primary === wanted.primary && (spec.primary === 'balanced' || spec.owner === node)
}

/** Whether two specs of one creation say the same of where its primary is to be. */
function saysSame(a: Spec, b: Spec): boolean {
  return (
    a.generation === b.generation &&
    a.removed === b.removed &&
    a.owner === b.owner &&
    a.failover === b.failover &&
    a.failback === b.failback &&
    a.handover?.nonce === b.handover?.nonce
  )
}
