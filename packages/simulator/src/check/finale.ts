/**
 * The end of a run, when nothing goes wrong any more: every token must get a primary that takes a write, every copy must come to the same state, copies
 * must lie apart, and nodes that start with nothing must restore it.
 */
import type { Kagami } from '@kagami/core'
import type { Cluster } from '../load/cluster.js'
import type { SimMachine } from '../load/machine.js'
import type { Workload } from '../load/workload.js'
import type { World } from '../world/wire.js'
import type { Bounds } from './bounds.js'
import { toldOf, type Calls } from './calls.js'
import type { Ghost } from './ghost.js'
import type { Ledger } from './ledger.js'

export interface FinaleOptions {
  readonly world: World
  readonly cluster: Cluster
  readonly workload: Workload
  readonly ghost: Ghost
  readonly ledger: Ledger
  readonly calls: Calls
}

/** What keeps a token from being at rest, and the promise that is broken if it never changes. */
interface Lack {
  readonly promise: 'L' | 'S10'
  readonly text: string
}

const pollMs = 100
/** So long, at most, nodes are paused or cut off: they may have missed what happened in this time before faults stopped. */
const longestCutMs = 5000

/** Runs until every token is served, every copy is the same and every call is over, or the bound is reached, which is a violation. */
export async function converge(options: FinaleOptions, what: 'converge' | 'coldStart', bounds: Bounds): Promise<void> {
  const { scheduler, trace } = options.world
  const boundMs = bounds[`${what}Ms`]
  const startedMs = scheduler.nowMs
  const probes = new Map<string, 'under way' | 'done'>()
  let missing: Lack[] = waitsFor('everything')
  let over = false
  const poll = (): void => {
    missing = options.workload.tokens.flatMap((token) => lacks(options, token, probes))
    for (const operation of options.ledger.pending())
      missing.push(...waitsFor(`op ${operation.id} of ${operation.caller} is pending`))
    for (const call of options.calls.pending()) missing.push(...waitsFor(toldOf(call)))
    const allowedMs = boundMs + (options.ghost.releasedAtMs > startedMs - longestCutMs ? bounds.releasedMs : 0)
    over = missing.length === 0 || scheduler.nowMs >= startedMs + allowedMs
    if (!over) scheduler.after(pollMs, undefined, poll)
  }
  poll()
  const latestMs = startedMs + boundMs + bounds.releasedMs + pollMs
  await scheduler.run(latestMs, () => over || trace.violations.length > 0)
  const tookMs = Math.round(scheduler.nowMs - startedMs)
  trace.add('finale', `${what}: ${missing.length === 0 ? 'converged' : 'not converged'} after ${tookMs} ms`)
  trace.count(`${what}Ms`, tookMs)
  if (missing.length > 0 && trace.violations.length === 0) {
    for (const { promise, text } of missing.slice(0, 5))
      trace.violation(promise, `${what}: ${text}, ${tookMs} ms after faults stopped`)
  }
}

function waitsFor(text: string): Lack[] {
  return [{ promise: 'L', text }]
}

/** What a token still lacks. Pushes it on where a client would: creates it, and writes to its primary. */
function lacks(options: FinaleOptions, token: string, probes: Map<string, 'under way' | 'done'>): Lack[] {
  const { cluster, workload, ghost } = options
  for (const name of cluster.names) {
    if (cluster.get(name)?.ready !== true) return waitsFor(`node ${name} does not run`)
  }
  const primary = cluster.primaryOf(token)
  const truth = ghost.truth(token)
  if (primary === undefined || truth === undefined) {
    const copies = cluster
      .ready()
      .flatMap(({ kagami }) => kagami.health().copies.filter((copy) => copy.token === token))
    const located = cluster.ready().map(({ kagami }) => kagami.locate(token)?.incarnation ?? 0)
    if (isForPeople(truth, Math.max(0, ...located), copies)) workload.remove(token)
    else workload.ensure(token)
    return waitsFor(`${token} has no primary`)
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
  if (probes.get(token) !== 'done') return waitsFor(`a write to ${token} is not acknowledged`)
  const location = primary.node.kagami.locate(token)
  const holders = [primary.node.process.node, ...(location?.replicas.map(({ id }) => id) ?? [])]
  const different = holders.flatMap((name) => {
    const problem = differs(cluster.get(name)?.kagami, token, truth)
    return problem === undefined ? [] : waitsFor(`${name}'s copy of ${token} ${problem}`)
  })
  return [...different, ...crowded(options, token, holders)]
}

/**
 * Whether the documents speak of what was deleted since: documents that were brought back may, which is loud, and for people to clear up. The log then shows
 * nothing alive, or only a late copy of the frame that opened an older incarnation, which holds nothing. `located` is the incarnation that nodes are told of.
 */
export function isForPeople(
  truth: { readonly incarnation: number; readonly length: number } | undefined,
  located: number,
  copies: readonly { readonly phase: string }[],
): boolean {
  if (located === 0 || !copies.some(({ phase }) => phase === 'failed')) return false
  return truth === undefined || (truth.length === 0 && truth.incarnation < located)
}

/**
 * S10: copies that share a zone though a node of another zone could hold one of them. Asked only now: copies are moved one by one, new before
 * old, and stay where they are while a lost node may come back.
 */
function crowded({ cluster, world }: FinaleOptions, token: string, holders: readonly string[]): Lack[] {
  const zones = holders.flatMap((name) => cluster.zoneOf(name) ?? [])
  if (zones.length > 1) world.trace.count('zoned')
  if (new Set(zones).size === zones.length) return []
  // A node on which the copy has failed is not given another.
  const room = cluster
    .ready()
    .filter(({ kagami }) => !kagami.health().copies.some((copy) => copy.token === token && copy.phase === 'failed'))
    .map(({ process }) => process.node)
    .filter((name) => !zones.includes(cluster.zoneOf(name)!))
  if (room.length === 0) return []
  return [{ promise: 'S10', text: `${token} lies on ${holders.join()} (${zones.join()}), and ${room.join()} has room` }]
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
  const machine = kagami.get(token)?.state as SimMachine | undefined
  if (machine === undefined) return 'can not be got, because the token is being removed'
  return machine.digest === truth.digest ? undefined : 'has another state than its log'
}
