/**
 * One log, as one adapter has it open, however many handles and readings it has: groups appends into synced writes, knows
 * up to where everything is durable, and wakes readers. Holds no lock that another process could wait for: appending is one
 * write at the file's end, which the kernel puts in order, so a process that is frozen or killed at any point blocks nobody.
 */
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import { Chain } from './chain.js'
import { sync, write } from './disk.js'
import { isFull, logError, storeFull } from './errors.js'
import { Gate } from './gate.js'
import { stateOf } from './open-files.js'
import { Pulse } from './pulse.js'
import { encodeRecord, nonceOf, recordTypes, voidPayload } from './record.js'
import { seedOf, segmentHeaderBytes } from './segment.js'
import type { Segment } from './segment.js'
import type { LogStore } from './store.js'
import { Tail } from './tail.js'

/** One write holds about this much at most. */
const maxWriteBytes = 4 * 1024 * 1024

/** Appends that wait for the disk, above which more are refused: core never has so many under way. */
const maxQueuedBytes = 256 * 1024 * 1024

/** How often records are written again that others' seals or cut records have made void. */
const maxAttempts = 8

/** The last write is kept for readers that wait for it, unless it is larger. */
const maxRecentBytes = 256 * 1024

/** A log that is emptied leaves no more than this on the disk. */
const maxEmptyBytes = 65_536

export interface QueuedAppend {
  readonly record: Buffer
  readonly resolve: (offset: number) => void
  readonly reject: (error: unknown) => void
}

/** What was written last, for readers at the end: they need no file then. */
export interface RecentWrite {
  readonly segment: Segment
  readonly position: number
  readonly bytes: Buffer
}

export class Journal {
  readonly address: string
  readonly identity: string
  readonly seed: number
  readonly chain: Chain
  /** Beats when there is more to read, or something else to find out. */
  readonly changes = new Pulse()
  readonly #store: LogStore
  readonly #tail: Tail
  /** Whatever moves the tail runs alone. */
  readonly #turn = new Gate(1)
  #queue: QueuedAppend[] = []
  #queuedBytes = 0
  #flushing = false
  /** The tail must be parsed before the next write: the previous one failed, or nothing has been parsed yet. */
  #unsure = true
  #durableEnd: number
  #recent: RecentWrite | undefined
  /** The last file, and up to which size its contents are known, and synced. */
  #seen: { readonly segment: Segment; readonly size: number }
  #stale = false

  private constructor(store: LogStore, address: string, chain: Chain) {
    this.#store = store
    this.address = address
    this.chain = chain
    this.identity = chain.last.identity
    this.seed = seedOf(this.identity)
    this.#tail = new Tail(chain, store.files, store.syncs, this.seed)
    // A file is begun only when everything before it is synced.
    this.#durableEnd = chain.last.dataEnd
    this.#seen = { segment: chain.last, size: -1 }
  }

  /** @throws KAGAMI_LOG_REPLACED when no log is there */
  static async open(store: LogStore, address: string, folder: string): Promise<Journal> {
    const chain = new Chain(
      folder,
      () => store.folder.scratch(),
      (segment) => store.files.forget(segment),
    )
    try {
      await chain.load()
    } catch (error) {
      throw logError(folder, error)
    }
    return new Journal(store, address, chain)
  }

  /** The end of the last record that is known to be synced. */
  get end(): number {
    return Math.max(this.#durableEnd, this.chain.start)
  }

  get recent(): RecentWrite | undefined {
    return this.#recent
  }

  encode(payload: Uint8Array): Buffer {
    const { nonce, seed } = { nonce: this.#store.nonce(), seed: this.seed }
    return encodeRecord(payload, { type: recordTypes.data, nonce, synced: this.#durableEnd, seed })
  }

  /** @throws KAGAMI_LOG_UNAVAILABLE when too much waits already */
  enqueue(append: QueuedAppend): void {
    if (this.#queuedBytes + append.record.byteLength > maxQueuedBytes && this.#queue.length > 0) {
      throw new KagamiError(
        'KAGAMI_LOG_UNAVAILABLE',
        `too many appends wait for ${this.chain.folder}: append fewer at once`,
        {
          retryable: true,
        },
      )
    }
    this.#queue.push(append)
    this.#queuedBytes += append.record.byteLength
    if (!this.#flushing) void this.#flush()
  }

  /** Takes back an append whose write has not begun. */
  withdraw(append: QueuedAppend): void {
    const at = this.#queue.indexOf(append)
    if (at === -1) return
    this.#queue.splice(at, 1)
    this.#queuedBytes -= append.record.byteLength
  }

  /** Finds out where the log ends now, and makes sure that it is durable up to there. */
  async settle(): Promise<void> {
    await this.#run(async () => {
      await this.chain.load()
      // No room for the next file: what there is can be read all the same.
      await this.#tail.advance().then(() => (this.#unsure = false), unlessFull)
      await this.#atTail(() => this.#syncTail())
    })
  }

  /** Drops everything below `before`, and never what lies at or above it. */
  async truncate(before: number): Promise<void> {
    await this.settle()
    await this.#run(async () => {
      const target = Math.min(before, this.end)
      const large = this.#tail.position > maxEmptyBytes + segmentHeaderBytes
      // On a full disk there is no room for another file, until what lies below has been deleted.
      if (target >= this.#tail.dataEnd && large) await this.#atTail(() => this.#roll()).catch(unlessFull)
      await this.chain.truncate(target)
    })
    this.#tell()
    this.changes.beat()
  }

  /** Another process says that everything below `end` is synced, or that the log's files have changed. */
  heard(identity: string, end: number): void {
    if (identity !== this.identity) return
    if (end > this.#durableEnd) this.#durableEnd = end
    else {
      this.#stale = true
      // At once, because files that were truncated away take room for as long as they are open.
      this.refresh().catch(() => undefined)
    }
    this.changes.beat()
  }

  /**
   * Whether the last file is as long as this process knows it. Then nothing was appended that it was not told of. Costs one
   * system call, because this is what an idle log costs, several times a second.
   */
  unchanged(): boolean {
    return this.#store.files.sizeNow(this.#seen.segment) === this.#seen.size
  }

  /** A reader has read everything up to here, and it was synced. */
  passed(segment: Segment, position: number): void {
    this.#recent = undefined
    if (segment.base + position !== this.#durableEnd) return
    this.#seen = { segment, size: position }
    if (this.#turn.idle) this.#tail.skipTo(segment, position)
  }

  /** Looks into the folder again where another process has said that the log's files have changed. */
  async refresh(): Promise<void> {
    if (!this.#stale) return
    this.#stale = false
    try {
      await this.chain.load()
    } catch (error) {
      this.#stale = true
      throw logError(this.chain.folder, error)
    }
  }

  async #flush(): Promise<void> {
    this.#flushing = true
    // What is appended in the same turn goes into the same write.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const batch = this.#take()
      try {
        await this.#run(() => this.#write(batch))
      } catch (error) {
        for (const append of batch) append.reject(error)
      }
    }
    this.#flushing = false
  }

  #take(): QueuedAppend[] {
    let bytes = 0
    let count = 0
    for (const { record } of this.#queue) {
      if (count > 0 && bytes + record.byteLength > maxWriteBytes) break
      bytes += record.byteLength
      count++
    }
    this.#queuedBytes -= bytes
    return this.#queue.splice(0, count)
  }

  /** Writes until every record of the batch lies before a seal, and is synced. */
  async #write(batch: readonly QueuedAppend[]): Promise<void> {
    let waiting = batch
    for (let attempt = 0; waiting.length > 0; attempt++) {
      if (attempt === maxAttempts) throw outrun(this.chain.folder, attempt)
      if (this.#unsure) await this.#tail.advance()
      this.#unsure = true
      const offsets = await this.#atTail(() => this.#writeOnce(waiting))
      this.#unsure = false
      const landed = waiting.filter(({ record }) => offsets.has(nonceOf(record)))
      for (const { record, resolve } of landed) resolve(offsets.get(nonceOf(record))!)
      if (landed.length > 0) {
        this.#tell()
        this.changes.beat()
      }
      waiting = waiting.filter((append) => !landed.includes(append))
    }
    // A failure is no append's: the next one tries again.
    if (this.#tail.position >= this.#store.settings.segmentBytes) await this.#roll().catch(() => undefined)
  }

  /**
   * Does what begins with opening the last file; once more where others have sealed it, and truncated it away, since this process has looked.
   * @throws KAGAMI_LOG_REPLACED when the log itself is gone, or another one
   */
  async #atTail<T>(task: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await task()
      } catch (error) {
        if (!isKagamiError(error, 'KAGAMI_LOG_REPLACED')) throw error
        await this.#tail.advance()
      }
    }
  }

  /** The offsets of the records that landed: all of them, unless another process sealed the file just before. */
  async #writeOnce(batch: readonly QueuedAppend[]): Promise<Map<bigint, number>> {
    const { segment, position, size, badFrom } = this.#tail
    const records = batch.map(({ record }) => record)
    if (badFrom !== undefined) records.unshift(this.#encodeOwn(recordTypes.void, voidPayload(badFrom)))
    const bytes = records.length === 1 ? records[0]! : Buffer.concat(records)
    const after = await this.#store.files.use(segment, async (fd) => {
      const written = await write(fd, bytes)
      if (written < bytes.byteLength) throw storeFull(segment.path, undefined)
      await this.#sync(segment, fd)
      return stateOf(fd)
    })
    const offsets = new Map<bigint, number>()
    if (after.named && position === size && after.size === size + bytes.byteLength) {
      // Nobody else has written: the file has grown by exactly these bytes.
      let at = position
      for (const record of records) {
        offsets.set(nonceOf(record), segment.base + at)
        at += record.byteLength
      }
      this.#tail.position = at
      this.#tail.size = at
      this.#tail.dataEnd = segment.base + at
      this.#recent = bytes.byteLength <= maxRecentBytes ? { segment, position, bytes } : undefined
      this.#durableEnd = Math.max(this.#durableEnd, this.#tail.dataEnd)
      this.#seen = { segment, size: at }
    } else {
      await this.#find(new Set(batch.map(({ record }) => nonceOf(record))), offsets)
    }
    return offsets
  }

  /** Looks for the records that were written just now among those of others. */
  async #find(nonces: ReadonlySet<bigint>, offsets: Map<bigint, number>): Promise<void> {
    let end = 0
    await this.#tail.advance((record, segment) => {
      if (!nonces.has(record.nonce)) return
      offsets.set(record.nonce, segment.base + record.from)
      end = segment.base + record.to
    })
    // What others have written since the sync is not known to be durable, what lies before our own is.
    this.#durableEnd = Math.max(this.#durableEnd, end)
  }

  async #syncTail(): Promise<void> {
    const { segment, size, dataEnd } = this.#tail
    if (dataEnd > this.#durableEnd) await this.#store.files.use(segment, (fd) => this.#sync(segment, fd))
    this.#durableEnd = Math.max(this.#durableEnd, dataEnd)
    this.#seen = { segment, size }
  }

  async #sync(segment: Segment, fd: number): Promise<void> {
    try {
      await this.#store.syncs.run(() => sync(fd))
    } catch (error) {
      // The system reports a failed sync once for each opening of a file.
      this.#store.files.forget(segment)
      throw error
    }
  }

  /** Ends the present file, and goes on in the next. */
  async #roll(): Promise<void> {
    const { segment } = this.#tail
    const seal = this.#encodeOwn(recordTypes.seal, new Uint8Array(0))
    this.#unsure = true
    await this.#store.files.use(segment, (fd) => write(fd, seal))
    await this.#tail.advance()
    this.#unsure = false
    await this.#syncTail()
    this.#tell()
  }

  #encodeOwn(type: (typeof recordTypes)[keyof typeof recordTypes], payload: Uint8Array): Buffer {
    return encodeRecord(payload, { type, nonce: this.#store.nonce(), synced: this.#durableEnd, seed: this.seed })
  }

  #tell(): void {
    const { hub, self } = this.#store
    hub.tell({ kind: 'log', address: this.address, identity: this.identity, end: this.#durableEnd }, self)
  }

  async #run<T>(task: () => Promise<T>): Promise<T> {
    try {
      return await this.#turn.run(task)
    } catch (error) {
      throw logError(this.chain.folder, error)
    }
  }
}

function outrun(folder: string, attempts: number): KagamiError {
  return new KagamiError(
    'KAGAMI_LOG_UNAVAILABLE',
    `what was appended to ${folder} did not count ${attempts} times, because other processes have ended the log's file just before: append it again`,
    { retryable: true },
  )
}

function unlessFull(error: unknown): void {
  if (!isFull(error)) throw error
}
