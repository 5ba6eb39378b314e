/** The options of the embedded adapters: their meaning, their defaults, and the one place where they are checked. */
import { badOption, refuseUnknownOptions } from '@kagami/core/contract'

/** What `embedded` takes. Checked at once, without any I/O. */
export interface EmbeddedOptions {
  /**
   * The folder that holds everything, on a local file system. All processes of the cluster name the same one; it is
   * created where it doesn't exist.
   */
  readonly dir: string
  /**
   * A session without contact is over after this long: how soon a frozen process is replaced. One that died is noticed at
   * once, whatever stands here. Milliseconds, 200 to 60,000. @default 2_000
   */
  readonly sessionTimeoutMs?: number
  /**
   * Log files are begun anew at this size; truncation deletes whole files. Bytes, 65,536 to 1 GiB. @default 8 MiB
   */
  readonly segmentBytes?: number
  /** Log files that are kept open at once; above it the least recently used are closed. 16 to 100,000. @default 1024 */
  readonly maxOpenFiles?: number
  /**
   * For who joins no cluster but one that is there: `start` makes nothing, and rejects where the folder does not hold the cluster. @default false
   */
  readonly mustExist?: boolean
}

const names: Readonly<Record<keyof EmbeddedOptions, true>> = {
  dir: true,
  sessionTimeoutMs: true,
  segmentBytes: true,
  maxOpenFiles: true,
  mustExist: true,
}

/** How long a session may live without contact at most, whoever has opened it. */
export const longestSessionTimeoutMs = 60_000

export interface Settings {
  readonly dir: string
  readonly sessionTimeoutMs: number
  readonly segmentBytes: number
  readonly maxOpenFiles: number
  readonly mustExist: boolean
}

/** @throws KAGAMI_BAD_OPTION */
export function settingsOf(options: EmbeddedOptions): Settings {
  if (typeof options !== 'object' || options === null) throw badOption('options', options, 'an object with a `dir`')
  refuseUnknownOptions(options, Object.keys(names))
  const { dir, mustExist = false } = options
  if (typeof dir !== 'string' || dir === '' || dir.includes('\0')) {
    throw badOption('dir', dir, 'the path of a folder on a local file system')
  }
  if (typeof mustExist !== 'boolean') throw badOption('mustExist', mustExist, 'true or false')
  return {
    dir,
    mustExist,
    sessionTimeoutMs: whole(
      'sessionTimeoutMs',
      options.sessionTimeoutMs ?? 2_000,
      200,
      longestSessionTimeoutMs,
      'milliseconds',
    ),
    segmentBytes: whole('segmentBytes', options.segmentBytes ?? 8 * 1024 * 1024, 65_536, 1024 ** 3, 'bytes'),
    maxOpenFiles: whole('maxOpenFiles', options.maxOpenFiles ?? 1024, 16, 100_000, 'files'),
  }
}

function whole(option: string, value: unknown, least: number, most: number, unit: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw badOption(option, value, `a whole number of ${unit} from ${least} to ${most}`)
}
