/**
 * The log files that are open, a bounded number of them: the least recently used is closed for the next, but never one
 * that is in use. Opens each for appending and reading, and refuses a file that is not the one that was meant.
 */
import { constants, fstatSync, readSync, statSync } from 'node:fs'
import { KagamiError } from '@kagami/core/contract'
import { closeFile, openFile, read } from './disk.js'
import { codeOf } from './errors.js'
import { decodeHeader, segmentHeaderBytes } from './segment.js'
import type { Segment } from './segment.js'

const appendAndRead = constants.O_RDWR | constants.O_APPEND

interface OpenFile {
  readonly opening: Promise<number>
  /** Undefined until it is open. */
  fd: number | undefined
  users: number
}

export class OpenFiles {
  readonly #most: number
  /** The least recently used first. */
  readonly #files = new Map<string, OpenFile>()
  #closed = false

  constructor(most: number) {
    this.#most = most
  }

  /** @throws KAGAMI_LOG_REPLACED when the file is gone, or another one */
  async use<T>(segment: Segment, task: (fd: number) => Promise<T>): Promise<T> {
    const file = this.#file(segment)
    // Counted before anything is awaited, so that nobody closes it in between.
    file.users++
    try {
      return await task(await file.opening)
    } finally {
      file.users--
      if (file.users === 0 && this.#files.get(keyOf(segment)) !== file) this.#close(file)
      else if (this.#closed || this.#files.size > this.#most) this.#shrink()
    }
  }

  /**
   * Reads without waiting, where the file is open: for bytes that were written a moment ago, which the system still has in
   * memory. The thread pool would take longer, and may be full of syncs. Undefined where the file is not open.
   */
  readNow(segment: Segment, into: Uint8Array, position: number): number | undefined {
    const fd = this.#files.get(keyOf(segment))?.fd
    return fd === undefined ? undefined : readSync(fd, into, 0, into.byteLength, position)
  }

  /** The size of a file that has its name still, without waiting; undefined for any other. */
  sizeNow(segment: Segment): number | undefined {
    const fd = this.#files.get(keyOf(segment))?.fd
    // By its path it costs several times as much.
    if (fd === undefined) return statSync(segment.path, { throwIfNoEntry: false })?.size
    const { size, nlink } = fstatSync(fd)
    return nlink > 0 ? size : undefined
  }

  /** Closes a file whose sync has failed, or that was deleted, as soon as nobody uses it. */
  forget(segment: Segment): void {
    const key = keyOf(segment)
    const file = this.#files.get(key)
    if (file === undefined) return
    this.#files.delete(key)
    if (file.users === 0) this.#close(file)
  }

  /** Closes all that is not in use, and the rest as soon as it is not. */
  close(): void {
    this.#closed = true
    this.#shrink()
  }

  #file(segment: Segment): OpenFile {
    const key = keyOf(segment)
    let file = this.#files.get(key)
    if (file === undefined) file = this.#open(segment)
    else this.#files.delete(key)
    this.#files.set(key, file)
    if (this.#files.size > this.#most) this.#shrink(file)
    return file
  }

  #open(segment: Segment): OpenFile {
    const file: OpenFile = { opening: openSegment(segment), fd: undefined, users: 0 }
    file.opening.then(
      (fd) => {
        file.fd = fd
      },
      () => {
        const key = keyOf(segment)
        if (this.#files.get(key) === file) this.#files.delete(key)
      },
    )
    return file
  }

  #shrink(except?: OpenFile): void {
    for (const [key, file] of this.#files) {
      if (!this.#closed && this.#files.size <= this.#most) return
      if (file.users > 0 || file === except) continue
      this.#files.delete(key)
      this.#close(file)
    }
  }

  #close(file: OpenFile): void {
    void file.opening.then(closeFile, () => undefined)
  }
}

/** A file that was created anew at the same path is another one. */
function keyOf(segment: Segment): string {
  return `${segment.identity} ${segment.path}`
}

/** The size of an open file, and whether it still has a name. */
export function stateOf(fd: number): { readonly size: number; readonly named: boolean } {
  const { size, nlink } = fstatSync(fd)
  return { size, named: nlink > 0 }
}

async function openSegment(segment: Segment): Promise<number> {
  // 'a+' creates what is missing, which would be a log without a header.
  let fd: number
  try {
    fd = await openFile(segment.path, appendAndRead)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') throw gone(segment)
    throw error
  }
  try {
    const header = Buffer.alloc(segmentHeaderBytes)
    const got = await read(fd, header, 0)
    const found = decodeHeader(segment.path, header.subarray(0, got))
    if (found.identity !== segment.identity || found.base !== segment.base) throw gone(segment)
    return fd
  } catch (error) {
    await closeFile(fd)
    throw error
  }
}

export function gone(segment: { readonly path: string }): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_REPLACED',
    `the log at ${segment.path} was deleted, or created anew: open it again`,
  )
}
