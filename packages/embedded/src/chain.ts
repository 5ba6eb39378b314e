/**
 * The files of one log as they lie in its folder: which there are, where the log begins, and what is deleted. Knows no
 * records.
 */
import { statSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { closeFile, linkNew, namesIn, openFile, read, removeFile, syncFolder, writeNew } from './disk.js'
import { codeOf, isFull } from './errors.js'
import { Gate } from './gate.js'
import { gone } from './open-files.js'
import { baseOf, createSegment, decodeHeader, segmentHeaderBytes, segmentPath } from './segment.js'
import type { Segment } from './segment.js'

const markerPattern = /^([0-9a-f]{14})\.start$/

export class Chain {
  readonly folder: string
  readonly #scratch: () => string
  readonly #dropped: (segment: Segment) => void
  /** In order; never empty once loaded. */
  #segments: Segment[] = []
  #marker = 0
  /** What changes the list of files runs alone. */
  readonly #turn = new Gate(1)

  /** `dropped` is told of each file that was truncated away: whoever has it open keeps its room taken. */
  constructor(folder: string, scratch: () => string, dropped: (segment: Segment) => void) {
    this.folder = folder
    this.#scratch = scratch
    this.#dropped = dropped
  }

  get segments(): readonly Segment[] {
    return this.#segments
  }

  get last(): Segment {
    return this.#segments.at(-1)!
  }

  /** The offset below which nothing is readable any more, as of the last `load`. */
  get start(): number {
    return Math.max(this.#marker, this.#segments[0]!.dataEnd)
  }

  /** Looks into the folder, from now on. @throws KAGAMI_LOG_REPLACED when no log is there, or another one than before */
  load(): Promise<void> {
    return this.#turn.run(() => this.#load())
  }

  async #load(): Promise<void> {
    const { segments, marker } = await this.#list(this.#segments)
    this.#marker = Math.max(this.#marker, marker)
    const last = segments.at(-1)
    if (last === undefined || last.identity !== (this.#segments[0]?.identity ?? last.identity))
      throw gone({ path: this.folder })
    for (const segment of this.#segments) if (segment.base < segments[0]!.base) this.#dropped(segment)
    this.#segments = segments
  }

  /** Whether the log in the folder is still the one that was loaded. */
  async isCurrent(): Promise<boolean> {
    const { segments } = await this.#list([])
    return segments[0]?.identity === this.last.identity
  }

  /** What lies in the folder: its files, in order, and the highest start. Looks into those alone that are not known. */
  async #list(given: readonly Segment[]): Promise<{ readonly segments: Segment[]; readonly marker: number }> {
    const known = new Map(given.map((segment) => [segment.base, segment]))
    for (let missed: readonly number[] = []; ;) {
      const names = (await namesIn(this.folder)) ?? []
      const bases = names.flatMap((name) => baseOf(name) ?? [])
      const found: (Segment | undefined)[] = []
      for (const base of bases) found.push(known.get(base) ?? (await this.#read(base)))
      // A file that was truncated away since it was listed: its successor may have been begun after that. What is listed again was put there by no log.
      const missing = bases.filter((_, i) => found[i] === undefined)
      if (missing.some((base) => !missed.includes(base))) {
        missed = missing
        continue
      }
      const segments = found.filter((segment) => segment !== undefined)
      const markers = names.map((name) => Number.parseInt(markerPattern.exec(name)?.[1] ?? '0', 16))
      return { segments: segments.sort((a, b) => a.base - b.base), marker: Math.max(0, ...markers) }
    }
  }

  /** The last file before which there is nothing at or above the offset: what lies there, or comes next, is in it. */
  holding(offset: number): Segment {
    return this.#segments.findLast((segment) => segment.dataEnd <= offset) ?? this.#segments[0]!
  }

  /**
   * Begins the next file, unless somebody has, and gives the last one. What lies before it must be synced; `stands` tells whether the file before it has its name still.
   */
  extend(header: Omit<Segment, 'path'>, stands: () => boolean): Promise<Segment> {
    return this.#turn.run(async () => {
      await createSegment(this.folder, this.#scratch(), header)
      const segment = { ...header, path: segmentPath(this.folder, header.base) }
      // Files are deleted in order, so while the one before is there, no file of this name has been.
      if (stands()) {
        if (this.last.base < header.base) this.#segments.push(segment)
        return this.last
      }
      await this.#load()
      if (this.last.base > header.base) await this.#takeBack(segment)
      return this.last
    })
  }

  /** Deletes a file that had come and gone before it was made here: the log goes on behind it, though nobody has sealed it. */
  async #takeBack(segment: Segment): Promise<void> {
    const size = statSync(segment.path, { throwIfNoEntry: false })?.size ?? 0
    if (size > segmentHeaderBytes) return
    await removeFile(segment.path)
    this.#segments = this.#segments.filter(({ base }) => base !== segment.base)
  }

  /**
   * Moves the start up to `offset`, durably: in one step, before the first file is deleted, so that whoever is killed meanwhile leaves either the old start or
   * the new one. Only on a full disk files go first, to make the room that the step needs; each that is left begins with the end of what lay below it.
   */
  truncate(offset: number): Promise<void> {
    return this.#turn.run(() => this.#truncate(offset))
  }

  async #truncate(offset: number): Promise<void> {
    const moved = await this.#moveStart(offset)
    while (this.#segments.length > 1 && this.#segments[1]!.dataEnd <= offset) {
      await removeFile(this.#segments[0]!.path)
      this.#dropped(this.#segments.shift()!)
    }
    if (!moved) await syncFolder(this.folder)
    if (this.start < offset) await this.#writeMarker(offset)
  }

  /** False where there is no room for it. */
  async #moveStart(offset: number): Promise<boolean> {
    if (this.start >= offset) return false
    try {
      await this.#writeMarker(offset)
      return true
    } catch (error) {
      if (isFull(error)) return false
      throw error
    }
  }

  async #writeMarker(offset: number): Promise<void> {
    const scratch = this.#scratch()
    await writeNew(scratch, new Uint8Array(0))
    try {
      await linkNew(scratch, join(this.folder, `${offset.toString(16).padStart(14, '0')}.start`))
    } finally {
      await removeFile(scratch)
    }
    await syncFolder(this.folder)
    this.#marker = offset
    for (const other of (await namesIn(this.folder)) ?? []) {
      const marker = markerPattern.exec(other)?.[1]
      if (marker !== undefined && Number.parseInt(marker, 16) < offset) await removeFile(join(this.folder, other))
    }
  }

  async #read(base: number): Promise<Segment | undefined> {
    const path = segmentPath(this.folder, base)
    let fd: number
    try {
      fd = await openFile(path, 'r')
    } catch (error) {
      // Truncated away since the folder was listed.
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      const header = Buffer.alloc(segmentHeaderBytes)
      return decodeHeader(path, header.subarray(0, await read(fd, header, 0)))
    } finally {
      await closeFile(fd)
    }
  }
}

/** Whether there is a folder of that path. */
export async function folderExists(folder: string): Promise<boolean> {
  try {
    return (await stat(folder)).isDirectory()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
}
