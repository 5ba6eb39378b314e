/** Fills in what a node leaves open: the embedded engine, snapshots in files, even placement. Picks defaults and nothing else. */
import { join } from 'node:path'
import { badOption, type KagamiOptions } from '@kagami/core'
import { embedded } from '@kagami/embedded'
import { evenPlacement } from '@kagami/placement-even'
import { fsSnapshotStore } from '@kagami/snapshot-fs'

/** The adapters that a node may leave to {@link createKagami}. */
type Adapters = 'log' | 'coordinator' | 'snapshots' | 'placement'

export type KagamiDefaultOptions<R = unknown, C = Uint8Array> = Omit<KagamiOptions<R, C>, Adapters> &
  Partial<Pick<KagamiOptions<R, C>, Adapters>> & {
    /**
     * The folder that the processes of one machine share: the embedded log and coordinator, and the snapshots. Needed unless `log`,
     * `coordinator` and `snapshots` are given.
     */
    readonly dir?: string
    /** How long the embedded coordinator waits for a silent process before it is lost, in milliseconds. @default 2000 */
    readonly sessionTimeoutMs?: number
  }

/** @throws KAGAMI_BAD_OPTION */
export function withDefaults<R, C>(options: KagamiDefaultOptions<R, C>): KagamiOptions<R, C> {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  const { dir, sessionTimeoutMs, ...given } = options
  if ((given.log === undefined) !== (given.coordinator === undefined)) {
    const missing = given.log === undefined ? 'log' : 'coordinator'
    throw badOption(
      missing,
      undefined,
      'an adapter too, since log and coordinator belong together; or leave both out and give dir',
    )
  }
  const engine =
    given.log === undefined || given.coordinator === undefined
      ? embedded({ dir: folder(dir), ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }) })
      : { log: given.log, coordinator: given.coordinator }
  return {
    ...given,
    log: engine.log,
    coordinator: engine.coordinator,
    snapshots: given.snapshots ?? fsSnapshotStore({ dir: join(folder(dir), 'snapshots') }),
    placement: given.placement ?? evenPlacement(),
  }
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
