/**
 * What applications may ask of a cluster at rest: every copy is synced and every token asked for on every node, then every primary is handed over. Each
 * of these calls must settle soon, and may say no only where that is so.
 */
import type { Kagami } from '@kagami/core'
import { isKagamiError } from '@kagami/core/contract'
import { describe } from '../kernel/trace.js'
import type { Cluster, RunningNode } from '../load/cluster.js'
import type { Workload } from '../load/workload.js'
import type { World } from '../world/wire.js'
import type { Bounds } from './bounds.js'
import { toldOf, type Call, type Calls } from './calls.js'

export interface CallsAtRestOptions {
  readonly world: World
  readonly cluster: Cluster
  readonly workload: Workload
  readonly calls: Calls
}

interface Question {
  readonly kind: 'sync' | 'token' | 'handover'
  readonly text: string
  readonly node: RunningNode
  /** What is allowed for it, in virtual milliseconds. */
  readonly boundMs: number
  readonly ask: (kagami: Kagami<number>) => Promise<unknown>
}

/** What is no fault of the cluster's: a copy moves away or has failed, the owner is another node, an alteration came through though its call failed. */
const refusals: Record<Question['kind'], readonly string[]> = {
  sync: ['KAGAMI_NO_COPY'],
  token: ['KAGAMI_TOKEN_OWNED', 'KAGAMI_TOKEN_OPTIONS'],
  handover: ['KAGAMI_NO_COPY'],
}

/** A watch may show what it has missed so long after faults have stopped, and before that a node may know less than it is asked about. */
const lateMs = 1500

export async function callAtRest(options: CallsAtRestOptions, what: string, bounds: Bounds): Promise<void> {
  const { scheduler, trace } = options.world
  await scheduler.run(scheduler.nowMs + lateMs, () => trace.violations.length > 0)
  await askAll(options, what, [...syncs(options, bounds), ...tokens(options, bounds)])
  if (trace.violations.length === 0) await askAll(options, what, handovers(options, bounds))
}

function syncs({ cluster, workload }: CallsAtRestOptions, { atRestMs }: Bounds): Question[] {
  return cluster.ready().flatMap((node) =>
    workload.tokens.flatMap((token): Question[] => {
      const handle = node.kagami.get(token)
      if (handle?.role !== 'primary' && handle?.role !== 'replica') return []
      return [{ kind: 'sync', text: `sync of ${token}`, node, boundMs: atRestMs, ask: () => handle.sync() }]
    }),
  )
}

function tokens({ cluster, workload }: CallsAtRestOptions, { atRestMs }: Bounds): Question[] {
  return cluster.ready().flatMap((node) =>
    workload.tokens.map((token): Question => {
      const ask = (kagami: Kagami<number>): Promise<unknown> => kagami.token(token, workload.settingsOf(token))
      return { kind: 'token', text: `token ${token}`, node, boundMs: atRestMs, ask }
    }),
  )
}

/** To another node, where there is one. */
function handovers({ cluster, workload, world }: CallsAtRestOptions, { atRestMs, newCopyMs }: Bounds): Question[] {
  const { chance } = world
  return workload.tokens.flatMap((token): Question[] => {
    const nodes = cluster.ready()
    const primary = cluster.primaryOf(token)?.node
    const others = nodes.filter((node) => node !== primary)
    const node = chance.pick(nodes)
    const target = chance.pick(others.length === 0 ? nodes : others)
    if (node === undefined || target === undefined) return []
    const to = target.process.node
    const boundMs = atRestMs + (target.kagami.get(token)?.role === 'none' ? newCopyMs : 0)
    const ask = (kagami: Kagami<number>): Promise<unknown> => kagami.handover(token, { to })
    return [{ kind: 'handover', text: `handover of ${token} to ${to}`, node, boundMs, ask }]
  })
}

/** Asks everything at once, and waits until it is answered, or a bound is reached, which is a violation. */
async function askAll(
  { calls, world }: CallsAtRestOptions,
  what: string,
  questions: readonly Question[],
): Promise<void> {
  const { scheduler, trace } = world
  const open = new Set<Call>()
  for (const { kind, text, node, boundMs, ask } of questions) {
    const { label } = node.process
    const call = calls.begin(kind, text, label)
    open.add(call)
    const settled = (): void => {
      calls.settled(call)
      open.delete(call)
    }
    scheduler.after(boundMs, undefined, () => {
      if (!open.delete(call)) return
      trace.violation('L', `${what}: at rest, ${toldOf(call)} after ${boundMs} ms`)
    })
    node.process.after(0, () => {
      ask(node.kagami).then(
        () => {
          trace.add(label, `${text}: done`)
          trace.count(`atRest.${kind}`)
          settled()
        },
        (error: unknown) => {
          trace.add(label, `${text}: ${describe(error)}`)
          settled()
          if (!isKagamiError(error) || !refusals[kind].includes(error.code))
            trace.violation('L', `${what}: at rest, ${text} on ${label} is refused: ${describe(error)}`)
        },
      )
    })
  }
  const latestMs = Math.max(...questions.map(({ boundMs }) => boundMs)) + 1
  await scheduler.run(scheduler.nowMs + latestMs, () => open.size === 0 || trace.violations.length > 0)
}
