/** Fills in what a node leaves open: snapshots in files, even placement. Picks defaults and nothing else. */
import { join } from 'node:path'
import { badOption, type KagamiOptions } from '@kagami/core'
import { evenPlacement } from '@kagami/placement-even'
import { fsSnapshotStore } from '@kagami/snapshot-fs'

/** The adapters that a node may leave to {@link createKagami}. */
type Adapters = 'snapshots' | 'placement'

export type KagamiDefaultOptions<R = unknown, C = Uint8Array> = Omit<KagamiOptions<R, C>, Adapters> &
  Partial<Pick<KagamiOptions<R, C>, Adapters>> & {
    /** The folder that the nodes share; snapshots are kept in it. Needed unless `snapshots` is given. */
    readonly dir?: string
  }

/** @throws KAGAMI_BAD_OPTION */
export function withDefaults<R, C>(options: KagamiDefaultOptions<R, C>): KagamiOptions<R, C> {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object')
  const { dir, ...given } = options
  return {
    ...given,
    snapshots: given.snapshots ?? fsSnapshotStore({ dir: join(folder(dir), 'snapshots') }),
    placement: given.placement ?? evenPlacement(),
  }
}

function folder(dir: string | undefined): string {
  if (typeof dir !== 'string' || dir === '') {
    throw badOption('dir', dir, 'the path of a folder for the snapshots, or give snapshots')
  }
  return dir
}
