/** The options of the store, checked once. Does no I/O. */
import { resolve } from 'node:path'
import { badOption, refuseUnknownOptions } from '@kagami/core/contract'

/** What `fsSnapshotStore` takes. Checked at once, without any I/O. */
export interface FsSnapshotStoreOptions {
  /**
   * The folder that holds the snapshots, created where it does not exist. Every node of the cluster must see the same one:
   * one machine's disk for one machine's nodes, else a shared file system that has hard links and can sync a folder.
   */
  readonly dir: string
  /**
   * When the unfinished file of a writer that this process can't look up (another machine's, another container's) counts as left
   * behind, in milliseconds since it last grew. Live writers touch theirs four times as often. At least a minute. @default 3_600_000
   */
  readonly litterAgeMs?: number
  /**
   * For who only looks: `start` makes nothing, tries nothing and clears nothing up, and as long as the folder does not exist every call rejects with
   * KAGAMI_STORE_UNAVAILABLE. @default false
   */
  readonly mustExist?: boolean
}

export interface CheckedOptions {
  readonly dir: string
  readonly litterAgeMs: number
  readonly mustExist: boolean
}

const names: Readonly<Record<keyof FsSnapshotStoreOptions, true>> = { dir: true, litterAgeMs: true, mustExist: true }

const MINUTE_MS = 60_000
const MONTH_MS = 30 * 24 * 60 * MINUTE_MS

export function checkOptions(options: FsSnapshotStoreOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object with dir')
  refuseUnknownOptions(options, Object.keys(names))
  const { dir, litterAgeMs = 60 * MINUTE_MS, mustExist = false } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) throw badOption('dir', dir, 'the path of a folder')
  if (!Number.isSafeInteger(litterAgeMs) || litterAgeMs < MINUTE_MS || litterAgeMs > MONTH_MS) {
    throw badOption('litterAgeMs', litterAgeMs, `whole milliseconds from ${MINUTE_MS} to ${MONTH_MS}`)
  }
  if (typeof mustExist !== 'boolean') throw badOption('mustExist', mustExist, 'true or false')
  return { dir: resolve(dir), litterAgeMs, mustExist }
}
