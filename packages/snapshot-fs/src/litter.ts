/**
 * Removes unfinished files that killed writers left behind. Never touches any other file, nor one whose writer may still
 * be at work: of writers that can't be looked up, only what has not grown for a long time counts as left behind.
 */
import { join } from 'node:path'
import type { Logger } from '@kagami/core/contract'
import { errorCode } from './file-system.js'
import type { FileSystem } from './file-system.js'
import { stateOf, writerOf } from './writer.js'
import type { Writer } from './writer.js'

export interface Sweeper {
  readonly fileSystem: FileSystem
  /** The cluster's folder. */
  readonly root: string
  /** This process. */
  readonly writer: Writer
  readonly litterAgeMs: number
  readonly logger: Logger
  readonly signal: AbortSignal
}

/** Folders that are looked through at once: enough to hide a network's delay, too few to take the process's whole thread pool. */
const SWEEPS_AT_ONCE = 3

/** Looks through the cluster's folder and every token's. `nowMs` as in {@link sweepFolder}. */
export async function sweepAll(sweeper: Sweeper, nowMs: number | undefined): Promise<void> {
  const folders = (await sweepFolder(sweeper, sweeper.root, nowMs)).filter((name) => !name.startsWith('.'))
  const next = folders.values()
  const work = async () => {
    for (const name of next) {
      if (sweeper.signal.aborted) return
      await sweepFolder(sweeper, join(sweeper.root, name), nowMs)
    }
  }
  await Promise.all(Array.from({ length: SWEEPS_AT_ONCE }, work))
}

/**
 * Looks through one folder and gives the names in it. `nowMs` is the file system's present time, taken from a file that was just
 * written there: other machines' clocks may differ from this one's. Without it nothing is judged by age.
 * What can't be removed is logged, and stays: litter must not keep anybody from working.
 */
export async function sweepFolder(sweeper: Sweeper, folder: string, nowMs: number | undefined): Promise<string[]> {
  let names: string[]
  try {
    names = await sweeper.fileSystem.readdir(folder)
  } catch (error) {
    if (errorCode(error) !== 'ENOENT' && errorCode(error) !== 'ENOTDIR') {
      sweeper.logger.warn('could not look for unfinished snapshots', { folder, error })
    }
    return []
  }
  for (const name of names) {
    const writer = writerOf(name)
    if (writer === undefined) continue
    if (sweeper.signal.aborted) break
    const file = join(folder, name)
    try {
      if (!(await isLeftBehind(sweeper, file, writer, nowMs))) continue
      await sweeper.fileSystem.unlink(file)
      sweeper.logger.info('removed an unfinished snapshot of a writer that is gone', { file })
    } catch (error) {
      if (errorCode(error) === 'ENOENT') continue
      sweeper.logger.warn('could not remove an unfinished snapshot', { file, error })
    }
  }
  return names
}

async function isLeftBehind(
  { fileSystem, writer: self, litterAgeMs }: Sweeper,
  file: string,
  writer: Writer,
  nowMs: number | undefined,
): Promise<boolean> {
  const state = await stateOf(writer, self)
  if (state !== 'unknown') return state === 'dead'
  if (nowMs === undefined) return false
  return nowMs - (await fileSystem.stat(file)).mtimeMs > litterAgeMs
}
