/** What a join, a leave, a drain or a new number of replicas may move. Each property starts at the strategy's own target. */
import assert from 'node:assert/strict'
import type { PlacementInput, PlacementStrategy, PlacementTarget } from '@kagami/core/contract'
import type { PlacementCapabilities, Property } from './placement-property.js'
import { checkCounts, checkPlaces, copiesOf, movedCopies, settled } from './placement-rules.js'

export function placementChangeCases(property: Property, capabilities: PlacementCapabilities): void {
  property(
    'after a member has left, no copy is there, and each token has its copies again',
    { all: true },
    (input, strategy) => {
      const { after } = change(strategy, input, ({ members, tokens }) => ({ members: members.slice(1), tokens }))
      checkCounts(after.input, after.target)
      checkPlaces(after.input, after.target)
    },
  )

  property(
    'after a change of replicas, each token has its copies again, and keeps those that fit',
    { plain: true },
    (input, strategy) => {
      const { before, after } = change(strategy, input, ({ members, tokens }) => ({
        members,
        tokens: tokens.map((token, i) => (i === 0 ? { ...token, replicas: (token.replicas + 1) % 3 } : token)),
      }))
      checkCounts(after.input, after.target)
      const changed = after.input.tokens[0]!
      const kept =
        copiesOf(after.target.get(changed.token)!).length -
        movedCopies(before.target.get(changed.token)!, after.target.get(changed.token)!)
      assert.ok(kept >= 1, `${changed.token} kept none of its copies`)
    },
  )

  if (!capabilities.fewestMoves) return

  property(
    'a join moves copies to the new member only, and no more than its share',
    { plain: true },
    (input, strategy) => {
      const joined = { node: 'n999', capacity: 1, draining: false }
      const { before, after } = change(strategy, input, ({ members, tokens }) => ({
        members: [...members, joined],
        tokens,
      }))
      const replicas = input.tokens[0]!.replicas
      // With fewer members than copies the new one gets a copy of every token: that is no move.
      if (input.members.length < 1 + replicas) return
      const copies = input.tokens.length * (1 + replicas)
      const share = Math.ceil(copies / after.input.members.length)
      const moved = moves(before.target, after.target)
      assert.ok(moved <= share, `${moved} copies moved, the new member’s share is ${share}`)
    },
  )

  property('a leave moves little more than the copies of the lost member', { plain: true }, (input, strategy) => {
    if (input.members.length < 2) return
    const lost = input.members[0]!.node
    const { before, after } = change(strategy, input, ({ members, tokens }) => ({ members: members.slice(1), tokens }))
    const orphaned = [...before.target.values()].filter((placement) => copiesOf(placement).includes(lost)).length
    const moved = moves(before.target, after.target)
    // Where the least-filled node holds a copy of the token already, evenness costs an exchange: a second copy moves.
    assert.ok(moved <= 2 * orphaned, `${moved} copies moved, the lost member held ${orphaned}`)
  })
}

interface Step {
  readonly input: PlacementInput
  readonly target: PlacementTarget
}

function change(
  strategy: PlacementStrategy,
  input: PlacementInput,
  to: (input: PlacementInput) => PlacementInput,
): { readonly before: Step; readonly after: Step } {
  const before = { input, target: strategy.place(input) }
  const changed = to(settled(input, before.target))
  return { before, after: { input: changed, target: strategy.place(changed) } }
}

function moves(before: PlacementTarget, after: PlacementTarget): number {
  let count = 0
  for (const [token, placement] of after) count += movedCopies(before.get(token)!, placement)
  return count
}
