/** Why a token has no primary, told to people. Decides nothing: that no node could be chosen, the steps have found. */
import type { ClusterView } from './cluster-view.js'
import { holdsForOwner } from './assignment-steps.js'
import { lostHistory } from './copy-fitness.js'
import type { Assignment, Spec } from './documents.js'

/** One sentence, and what to do. `assignment` is one without a primary, for which no step is left. */
export function whyUnserved(assignment: Assignment, spec: Spec, view: ClusterView): string {
  const { token } = assignment
  const lost = lostHistory(assignment, view)
  if (lost !== undefined) {
    return (
      `the log of '${token}' has lost records that node '${lost.node}' had applied, and others have taken their place, which node '${lost.other}' has applied (KAGAMI_LOG_DIVERGED): it gets no primary. ` +
      `Bring the log back; or compare the two, and start node '${lost.node}' anew to go on with what the other has`
    )
  }
  const { owner } = spec
  const held = holdsForOwner(spec) && owner !== null
  if (held && view.nodes.get(owner)?.member === undefined) {
    return `token '${token}' is held for its owner, node '${owner}', which is gone (failover: 'hold'): it has no primary until that node is back. Start it, or alter the token`
  }
  const failures = [...view.nodes.keys()].flatMap((node) => {
    const error = view.report(node, token)?.error
    return (held && node !== owner) || error === undefined || error === null ? [] : [`node '${node}': ${error}`]
  })
  const who = held ? `its owner, node '${owner}', for which it is held,` : 'no node'
  return (
    `token '${token}' has no primary: ${who} ${held ? "can't" : 'can'} serve it` +
    (failures.length === 0 ? '' : ` (${failures.join(', ')})`) +
    '. The health() of the nodes with its copies says why'
  )
}
