/**
 * The end of a run, when nothing goes wrong any more: every token must get a primary that takes a write, every copy must come to the same state, and
 * nodes that start with nothing must restore it.
 */
import type { Kagami } from '@kagami/core'
import type { Cluster } from '../load/cluster.js'
import type { SimMachine } from '../load/machine.js'
import type { Workload } from '../load/workload.js'
import type { World } from '../world/wire.js'
import type { Ghost } from './ghost.js'
import type { Ledger } from './ledger.js'

export interface FinaleOptions {
  readonly world: World
  readonly cluster: Cluster
  readonly workload: Workload
  readonly ghost: Ghost
  readonly ledger: Ledger
  /** What is allowed for it, in virtual milliseconds. */
  readonly boundMs: number
}

const pollMs = 100

/** Runs until every token is served and every copy is the same, or the bound is reached, which is a violation. */
export async function converge(options: FinaleOptions, what: string): Promise<void> {
  const { world, boundMs } = options
  const { scheduler, trace } = world
  const startedMs = scheduler.nowMs
  const probes = new Map<string, 'under way' | 'done'>()
  let missing: string[] = ['everything']
  const poll = (): void => {
    missing = options.workload.tokens.flatMap((token) => lacks(options, token, probes))
    for (const operation of options.ledger.pending())
      missing.push(`op ${operation.id} of ${operation.caller} is pending`)
    if (missing.length > 0 && scheduler.nowMs < startedMs + boundMs) scheduler.after(pollMs, undefined, poll)
  }
  poll()
  await scheduler.run(startedMs + boundMs + 1, () => missing.length === 0 || trace.violations.length > 0)
  const tookMs = Math.round(scheduler.nowMs - startedMs)
  trace.add('finale', `${what}: ${missing.length === 0 ? 'converged' : 'not converged'} after ${tookMs} ms`)
  trace.count(`${what}Ms`, tookMs)
  if (missing.length > 0 && trace.violations.length === 0) {
    for (const text of missing.slice(0, 5)) trace.violation('L', `${what}: ${text}, ${tookMs} ms after faults stopped`)
  }
}

/** What a token still lacks. Pushes it on where a client would: creates it, and writes to its primary. */
function lacks(options: FinaleOptions, token: string, probes: Map<string, 'under way' | 'done'>): string[] {
  const { cluster, workload, ghost } = options
  for (const name of cluster.names) {
    if (cluster.get(name)?.ready !== true) return [`node ${name} does not run`]
  }
  const primary = cluster.primaryOf(token)
  const truth = ghost.truth(token)
  if (primary === undefined || truth === undefined) {
    // Documents that were brought back may speak of a token that was deleted since: that is loud, and for people to clear up.
    const copies = cluster
      .ready()
      .flatMap(({ kagami }) => kagami.health().copies.filter((copy) => copy.token === token))
    if (truth === undefined && copies.some((copy) => copy.phase === 'failed')) workload.remove(token)
    else workload.ensure(token)
    return [`${token} has no primary`]
  }
  if (probes.get(token) === undefined) {
    probes.set(token, 'under way')
    workload.replicate(
      primary.node,
      primary.handle,
      () => probes.set(token, 'done'),
      () => probes.delete(token),
    )
  }
  if (probes.get(token) !== 'done') return [`a write to ${token} is not acknowledged`]
  const location = primary.node.kagami.locate(token)
  const replicas = location?.replicas.map(({ id }) => id) ?? []
  return [primary.node.process.node, ...replicas].flatMap((name) => {
    const problem = differs(cluster.get(name)?.kagami, token, truth)
    return problem === undefined ? [] : [`${name}'s copy of ${token} ${problem}`]
  })
}

function differs(
  kagami: Kagami<number> | undefined,
  token: string,
  truth: { readonly incarnation: number; readonly length: number; readonly digest: number },
): string | undefined {
  const copy = kagami?.health().copies.find((candidate) => candidate.token === token)
  if (kagami === undefined || copy === undefined) return 'does not exist'
  if (copy.phase !== 'running') return `is ${copy.phase}${copy.error === undefined ? '' : ` (${copy.error.code})`}`
  const { next } = copy
  if (next?.incarnation !== truth.incarnation || next.index !== truth.length) {
    return `is at ${next?.incarnation}/${next?.index}, not ${truth.incarnation}/${truth.length}`
  }
  const machine = kagami.get(token)?.state as SimMachine
  return machine.digest === truth.digest ? undefined : 'has another state than its log'
}
