/**
 * Which process wrote something into the folder, and whether it is dead for certain. Says "dead" only where that is
 * proved; a process that it can't see (another container's) is merely not known to be dead.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import { codeOf } from './errors.js'

export interface ProcessIdentity {
  readonly pid: number
  /** When the process began, in ticks since the boot: tells it from a later one of the same pid. Linux only. */
  readonly began?: string
  /** Another one after each boot. Linux only. */
  readonly boot?: string
  /** The space in which the pid means something. Linux only. */
  readonly space?: string
}

export function ownIdentity(): ProcessIdentity {
  const began = statOf(process.pid)?.began
  const boot = attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim())
  const space = attempt(() => readlinkSync('/proc/self/ns/pid'))
  return {
    pid: process.pid,
    ...(began === undefined ? {} : { began }),
    ...(boot === undefined ? {} : { boot }),
    ...(space === undefined ? {} : { space }),
  }
}

/** Whether that process is dead for certain, as seen by `own`. */
export function isDead(other: ProcessIdentity, own: ProcessIdentity): boolean {
  if (other.boot !== undefined && own.boot !== undefined && other.boot !== own.boot) return true
  if (other.space !== own.space) return false
  if (other.pid === own.pid && other.began === own.began) return false
  if (own.began === undefined) return !exists(other.pid)
  const stat = statOf(other.pid)
  if (stat === undefined) return !exists(other.pid)
  // A zombie has ended; its parent has merely not asked how.
  return stat.began !== other.began || stat.state === 'Z' || stat.state === 'X'
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) !== 'ESRCH'
  }
}

function statOf(pid: number): { readonly state: string; readonly began: string } | undefined {
  const text = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'))
  // The second field is the command in brackets, which may hold anything.
  const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, began] = [fields?.[0], fields?.[19]]
  return state === undefined || began === undefined ? undefined : { state, began }
}

function attempt<T>(look: () => T): T | undefined {
  try {
    return look()
  } catch {
    return undefined
  }
}

/** Reads back what was stored as JSON; undefined for anything else. */
export function identityFrom(value: unknown): ProcessIdentity | undefined {
  if (typeof value !== 'object' || value === null || !('pid' in value) || typeof value.pid !== 'number')
    return undefined
  return value as ProcessIdentity
}
