/**
 * Who writes an unfinished file, and whether that process still lives. The file's name says who, so that a file of a killed writer
 * is recognised without opening it. Never calls a writer dead that may be alive.
 */
import { createHash, randomBytes } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'

/** One run of one process. */
export interface Writer {
  /** The machine's boot and the process-id namespace: ids of processes mean something only within one. Empty where unknown. */
  readonly scope: string
  readonly pid: number
  /** When the process started, in the kernel's ticks: tells it from a later one of the same id. */
  readonly started: string
}

const TEMP_NAME = /^\.([0-9a-f]{16})?-([0-9]{1,10})-([0-9]{1,20})-[0-9a-f]{16}\.tmp$/

/** The name of a new unfinished file of this writer. No two are the same. */
export function tempName(writer: Writer): string {
  return `.${writer.scope}-${writer.pid}-${writer.started}-${randomBytes(8).toString('hex')}.tmp`
}

/** The writer that an unfinished file names; undefined for every other file. */
export function writerOf(name: string): Writer | undefined {
  const match = TEMP_NAME.exec(name)
  if (match === null) return undefined
  const [, scope = '', pid = '', started = ''] = match
  return { scope, pid: Number(pid), started }
}

/** This process. */
export async function thisWriter(): Promise<Writer> {
  const pid = process.pid
  try {
    const [boot, namespace, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ])
    const scope = createHash('sha256').update(`${boot.trim()} ${namespace}`).digest('hex').slice(0, 16)
    return { scope, pid, started: parseStat(stat).started }
  } catch {
    // No /proc, as on macOS: then only their age tells which unfinished files were left behind.
    return { scope: '', pid, started: '0' }
  }
}

/** Whether a writer lives, as far as `self` can look: 'unknown' for another machine's or container's, or without /proc. */
export async function stateOf(writer: Writer, self: Writer): Promise<'alive' | 'dead' | 'unknown'> {
  if (self.scope === '' || writer.scope !== self.scope) return 'unknown'
  if (writer.pid === self.pid && writer.started === self.started) return 'alive'
  try {
    process.kill(writer.pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return 'dead'
  }
  try {
    const stat = parseStat(await readFile(`/proc/${writer.pid}/stat`, 'utf8'))
    // A zombie holds no file open any more.
    return stat.started === writer.started && stat.state !== 'Z' && stat.state !== 'X' ? 'alive' : 'dead'
  } catch {
    // Hidden from this user, or gone since: the next look will tell.
    return 'alive'
  }
}

function parseStat(stat: string): { state: string; started: string } {
  // The second field, the command's name, may hold blanks and brackets: count from its end.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, started] = [fields[0], fields[19]]
  if (state === undefined || started === undefined) throw new Error('unexpected format of /proc/<pid>/stat')
  return { state, started }
}
