/** Refuses an input that breaks the contract, before anything is computed from it. Never repairs one. */
import { badOption } from '@kagami/core/contract'
import type { PlacementInput, PlacementMember, PlacementToken } from '@kagami/core/contract'

/** The members by node id, by code units. @throws KAGAMI_BAD_OPTION */
export function checkedMembers(input: PlacementInput): readonly PlacementMember[] {
  if (!Array.isArray(input.members)) throw badOption('members', input.members, 'an array of members')
  const members = sorted(input.members as readonly PlacementMember[], nodeOf, 'members')
  for (const { node, zone, capacity, draining } of members) {
    if (typeof node !== 'string' || node === '') throw badOption('members[].node', node, 'a node id that is not empty')
    if (zone !== undefined && typeof zone !== 'string')
      throw badOption(`members[${node}].zone`, zone, 'a string or none')
    if (!positive(capacity)) throw badOption(`members[${node}].capacity`, capacity, 'a finite number above 0')
    if (typeof draining !== 'boolean') throw badOption(`members[${node}].draining`, draining, 'true or false')
  }
  return members
}

/** The tokens by name, by code units. @throws KAGAMI_BAD_OPTION */
export function checkedTokens(input: PlacementInput): readonly PlacementToken[] {
  if (!Array.isArray(input.tokens)) throw badOption('tokens', input.tokens, 'an array of tokens')
  const tokens = sorted(input.tokens as readonly PlacementToken[], tokenOf, 'tokens')
  for (const { token, replicas, weight, current } of tokens) {
    if (typeof token !== 'string') throw badOption('tokens[].token', token, 'a string')
    if (!Number.isSafeInteger(replicas) || replicas < 0) {
      throw badOption(`tokens[${token}].replicas`, replicas, 'a whole number, 0 or more')
    }
    if (!positive(weight)) throw badOption(`tokens[${token}].weight`, weight, 'a finite number above 0')
    if (typeof current !== 'object' || current === null || !Array.isArray(current.replicas)) {
      throw badOption(`tokens[${token}].current`, current, 'a placement: {primary, replicas}')
    }
  }
  return tokens
}

/** A finite number above 0, and not so small or large that sums of it overflow. */
function positive(value: unknown): boolean {
  return typeof value === 'number' && value >= 1e-9 && value <= 1e15
}

function nodeOf(member: PlacementMember): string {
  return member.node
}

function tokenOf(token: PlacementToken): string {
  return token.token
}

/** The items ordered by name; the very array where it is in order already, as the contract says. */
function sorted<T>(items: readonly T[], name: (item: T) => string, option: string): readonly T[] {
  let ordered = items
  for (let i = 1; i < items.length; i++) {
    if (name(items[i - 1]!) < name(items[i]!)) continue
    ordered = [...items].sort((one, other) => (name(one) < name(other) ? -1 : name(one) > name(other) ? 1 : 0))
    break
  }
  if (ordered === items) return items
  for (let i = 1; i < ordered.length; i++) {
    if (name(ordered[i - 1]!) === name(ordered[i]!)) throw badOption(option, name(ordered[i]!), 'every name once')
  }
  return ordered
}
