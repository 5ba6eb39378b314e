/**
 * A session as it lies in the folder, and the one step by which it lives on or ends. The owner renames its beat to the next
 * number; whoever declares it dead makes a folder of that next name. The system lets exactly one of the two succeed, so an owner
 * that was frozen can't come back once it is dead for the others. A session of another user may be closed to this process; what can be
 * told from outside then counts, and it is ended from there.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rmdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { MemberRecord } from '@kagami/core/contract'
import { newFolder, removeFile, removeFolder, writeNew } from './disk.js'
import { codeOf, isForbidden } from './errors.js'
import { asideEnd } from './folder.js'
import type { Folder } from './folder.js'
import { longestSessionTimeoutMs } from './options.js'
import { identityFrom } from './process-identity.js'
import type { ProcessIdentity } from './process-identity.js'

/** Who owns a session: written once. */
export interface SessionInfo {
  /** Undefined where this process may not know. */
  readonly process: ProcessIdentity | undefined
  readonly timeoutMs: number
}

/** One look at a session's folder. */
export interface SessionState {
  /** The owner's last beat: its number, or, where this process may not look inside, when it was. Another one after each beat. */
  readonly beat: number
  /** Somebody has declared it dead, for good. */
  readonly dead: boolean
  /** The number of the member record; 0 while it hasn't joined. */
  readonly member: number
}

const idPattern = /^[0-9a-z]+-[0-9a-f]{16}$/

export class SessionFiles {
  readonly #folder: Folder
  readonly #refused: (id: string, error: unknown) => void

  /** `refused` is told, again and again, of each session that is closed to this process. */
  constructor(folder: Folder, refused: (id: string, error: unknown) => void) {
    this.#folder = folder
    this.#refused = refused
  }

  /** Creates a session in one step, with its first beat. */
  async create(timeoutMs: number): Promise<string> {
    const id = `${Date.now().toString(36)}-${randomBytes(8).toString('hex')}`
    const scratch = this.#folder.scratch()
    const info: SessionInfo = { process: this.#folder.own, timeoutMs }
    await newFolder(scratch)
    try {
      // Nothing of a session needs to survive a power failure: no process does.
      await writeNew(join(scratch, 'info'), Buffer.from(JSON.stringify(info)), false)
      await writeNew(join(scratch, 'beat.1'), new Uint8Array(0), false)
      await rename(scratch, this.#at(id))
    } catch (error) {
      await removeFolder(scratch, this.#folder.scratch()).catch(() => undefined)
      throw error
    }
    return id
  }

  /** The sessions that are there, dead ones too. */
  async ids(): Promise<readonly string[]> {
    return (await readdir(this.#folder.sessions)).filter((name) => idPattern.test(name))
  }

  /** Undefined where there is no such session any more, or what is there was lost in a power failure. */
  async info(id: string): Promise<SessionInfo | undefined> {
    let value: Readonly<Record<string, unknown>> | undefined
    try {
      value = await readJson(join(this.#at(id), 'info'))
    } catch (error) {
      if (!isForbidden(error)) throw error
      this.#refused(id, error)
      return { process: undefined, timeoutMs: longestSessionTimeoutMs }
    }
    const process = identityFrom(value?.['process'])
    const timeoutMs = value?.['timeoutMs']
    return process === undefined || typeof timeoutMs !== 'number' ? undefined : { process, timeoutMs }
  }

  /** Undefined where there is no such session any more. */
  async look(id: string): Promise<SessionState | undefined> {
    let beat = 0
    let mark = 0
    let member = 0
    try {
      for (const entry of await readdir(this.#at(id), { withFileTypes: true })) {
        const [, kind, digits] = /^(beat|member)\.([1-9][0-9]*)$/.exec(entry.name) ?? []
        const number = Number(digits)
        if (kind === 'member') member = Math.max(member, number)
        else if (kind === 'beat' && entry.isDirectory()) mark = Math.max(mark, number)
        else if (kind === 'beat') beat = Math.max(beat, number)
      }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      if (!isForbidden(error)) throw error
      this.#refused(id, error)
      return this.#lookFromOutside(id)
    }
    // A mark at or below the beat was made too late, by somebody who had looked long before.
    return { beat, dead: mark > beat, member }
  }

  /** A beat renames what lies in the folder, so the folder's time tells of it. */
  async #lookFromOutside(id: string): Promise<SessionState | undefined> {
    try {
      return { beat: (await stat(this.#at(id))).mtimeMs, dead: false, member: 0 }
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** Whether its folder has changed within its timeout, by the clock on the wall, which may jump: only a hint, by which nobody is to be judged. */
  async seemsAlive(id: string, timeoutMs: number): Promise<boolean> {
    try {
      const agoMs = Date.now() - (await stat(this.#at(id))).mtimeMs
      return agoMs >= 0 && agoMs < timeoutMs
    } catch {
      return false
    }
  }

  /** The owner's next beat. False when the session is dead. Rejects when there is no contact: then nothing is known. */
  async beat(id: string, last: number): Promise<boolean> {
    try {
      await rename(join(this.#at(id), `beat.${last}`), join(this.#at(id), `beat.${last + 1}`))
      return true
    } catch (error) {
      const state = await this.look(id)
      if (state === undefined || state.dead) return false
      throw error
    }
  }

  /** Declares a session dead, unless it has beaten since `last` was seen. True when it is dead now. */
  async end(id: string, last: number): Promise<boolean> {
    const mark = join(this.#at(id), `beat.${last + 1}`)
    try {
      await mkdir(mark)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return true
      if (isForbidden(error)) return this.#endFromOutside(id, last, error)
      if (codeOf(error) !== 'EEXIST') throw error
    }
    const state = await this.look(id)
    if (state === undefined || state.dead) return true
    // It had moved on before this process looked, or just now.
    await rmdir(mark).catch(() => undefined)
    return false
  }

  /**
   * Of a session that is closed to this process it can take the name away, which ends it as well: its owner finds nothing to beat in. Should it beat
   * between the look and that, after a silence as long as its timeout, it is over for both all the same.
   */
  async #endFromOutside(id: string, last: number, error: unknown): Promise<boolean> {
    this.#refused(id, error)
    const state = await this.look(id)
    if (state === undefined || state.dead) return true
    if (state.beat !== last) return false
    await this.#setAside(id)
    return true
  }

  /** Takes a session out of the folder, in one step. */
  async remove(id: string): Promise<void> {
    try {
      await removeFolder(this.#at(id), this.#folder.scratch())
    } catch (error) {
      if (!isForbidden(error)) throw error
      await this.#setAside(id)
    }
  }

  /** A folder that may not be changed can't be moved to another one, but it can be called otherwise where it is. A later start clears it away. */
  async #setAside(id: string): Promise<void> {
    try {
      await rename(this.#at(id), `${this.#at(id)}${asideEnd}`)
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }

  async writeMember(id: string, number: number, record: MemberRecord): Promise<void> {
    const { node, member, data } = record
    const text = JSON.stringify({ node, member, data: Buffer.from(data).toString('base64') })
    const scratch = this.#folder.scratch()
    try {
      await writeNew(scratch, Buffer.from(text), false)
      await rename(scratch, join(this.#at(id), `member.${number}`))
    } catch (error) {
      await removeFile(scratch).catch(() => undefined)
      throw error
    }
    if (number > 1) await removeFile(join(this.#at(id), `member.${number - 1}`))
  }

  /** Undefined where it was replaced, or the session ended, since it was seen; and where this process may not read it. */
  async readMember(id: string, number: number): Promise<MemberRecord | undefined> {
    const value = await readJson(join(this.#at(id), `member.${number}`)).catch((error: unknown) => {
      if (!isForbidden(error)) throw error
      this.#refused(id, error)
      return undefined
    })
    const { node, member, data } = value ?? {}
    if (typeof node !== 'string' || typeof member !== 'string' || typeof data !== 'string') return undefined
    return { node, member, data: new Uint8Array(Buffer.from(data, 'base64')) }
  }

  #at(id: string): string {
    return join(this.#folder.sessions, id)
  }
}

async function readJson(path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
