/**
 * Fills in what a node, or who looks at a cluster, leaves open: the embedded engine, snapshots in files, even placement. Picks defaults and nothing
 * else.
 */
import { join } from 'node:path'
import { badOption, refuseUnknownOptions, type ClusterOptions, type KagamiOptions } from '@kagami/core'
import { embedded } from '@kagami/embedded'
import { evenPlacement } from '@kagami/placement-even'
import { fsSnapshotStore } from '@kagami/snapshot-fs'

/** The adapters that a node may leave to {@link createKagami}. */
type Adapters = 'log' | 'coordinator' | 'snapshots' | 'placement'

/** What `createKagami` takes: the options of @kagami/core, of which the adapters may be left out where `dir` is given. */
export type KagamiDefaultOptions<R = unknown, C = Uint8Array> = Omit<KagamiOptions<R, C>, Adapters> &
  Partial<Pick<KagamiOptions<R, C>, Adapters>> & {
    /**
     * The folder that the processes of one machine share: the embedded log and coordinator, and the snapshots. Needed unless `log`,
     * `coordinator` and `snapshots` are given.
     */
    readonly dir?: string
    /** How long the embedded coordinator waits for a silent process before it is lost, in milliseconds. Refused where another is given. @default 2000 */
    readonly sessionTimeoutMs?: number
  }

/** What {@link openCluster} takes. Of the folder nothing is made: it must hold the cluster. */
export type ClusterDefaultOptions = Omit<ClusterOptions, 'coordinator'> &
  Partial<Pick<ClusterOptions, 'coordinator'>> &
  Pick<KagamiDefaultOptions, 'dir' | 'sessionTimeoutMs'>

/** Core checks all of them but the two that it does not know; the names are checked here, so that those two can be suggested. */
const names: Readonly<Record<keyof KagamiDefaultOptions, true>> = {
  cluster: true,
  node: true,
  dir: true,
  sessionTimeoutMs: true,
  log: true,
  coordinator: true,
  snapshots: true,
  placement: true,
  stateMachine: true,
  codec: true,
  limits: true,
  snapshotting: true,
  placementLimits: true,
  seams: true,
}

const clusterNames: Readonly<Record<keyof ClusterDefaultOptions, true>> = {
  cluster: true,
  dir: true,
  sessionTimeoutMs: true,
  coordinator: true,
  snapshots: true,
  seams: true,
  signal: true,
}

/** The names of the options of `createKagami`. */
export const nodeOptionNames: readonly string[] = Object.keys(names)

/** @throws KAGAMI_BAD_OPTION */
export function withClusterDefaults(options: ClusterDefaultOptions): ClusterOptions {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  refuseUnknownOptions(options, Object.keys(clusterNames))
  const { dir, sessionTimeoutMs: _, ...given } = options
  if (dir !== undefined) folder(dir)
  const timeout = sessionTimeout(options)
  const coordinator =
    given.coordinator === undefined
      ? embedded({ dir: folder(dir), ...timeout, mustExist: true }).coordinator
      : given.coordinator
  // Where there is no folder the nodes have been given a store, which need not be known here.
  const found = dir === undefined ? undefined : fsSnapshotStore({ dir: join(dir, 'snapshots'), mustExist: true })
  const snapshots = given.snapshots === undefined ? found : given.snapshots
  return { ...given, coordinator, ...(snapshots === undefined ? {} : { snapshots }) }
}

/** @throws KAGAMI_BAD_OPTION */
export function withDefaults<R, C>(options: KagamiDefaultOptions<R, C>): KagamiOptions<R, C> {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  refuseUnknownOptions(options, nodeOptionNames)
  const { dir, sessionTimeoutMs: _, placement = evenPlacement(), ...given } = options
  if ((given.log === undefined) !== (given.coordinator === undefined)) {
    const missing = given.log === undefined ? 'log' : 'coordinator'
    throw badOption(
      missing,
      undefined,
      'an adapter too, since log and coordinator belong together; or leave both out and give dir',
    )
  }
  if (dir !== undefined) folder(dir)
  const timeout = sessionTimeout(options)
  const engine =
    given.log === undefined || given.coordinator === undefined
      ? embedded({ dir: folder(dir), ...timeout })
      : { log: given.log, coordinator: given.coordinator }
  return {
    ...given,
    log: engine.log,
    coordinator: engine.coordinator,
    snapshots:
      given.snapshots === undefined ? fsSnapshotStore({ dir: join(folder(dir), 'snapshots') }) : given.snapshots,
    placement,
  }
}

function sessionTimeout({
  sessionTimeoutMs,
  coordinator,
}: Pick<ClusterDefaultOptions, 'sessionTimeoutMs' | 'coordinator'>): { readonly sessionTimeoutMs?: number } {
  if (sessionTimeoutMs === undefined) return {}
  if (coordinator === undefined) return { sessionTimeoutMs }
  throw badOption(
    'sessionTimeoutMs',
    sessionTimeoutMs,
    'nothing where a coordinator is given: it has a timeout of its own',
  )
}

function folder(dir: string | undefined): string {
  if (typeof dir !== 'string' || dir === '') {
    throw badOption(
      'dir',
      dir,
      'the path of a folder that the processes of this machine share, or give log, coordinator and snapshots',
    )
  }
  return dir
}
