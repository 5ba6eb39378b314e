/** The commit log of a folder: which logs there are, and one journal for each that is open. */
import { randomBytes } from 'node:crypto'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { isKagamiError, KagamiError } from '@kagami/core/contract'
import type { AdapterContext, CallOptions, CommitLog, LogAddress, Offset, TokenLog } from '@kagami/core/contract'
import { AdapterLife } from './adapter-life.js'
import { Alarm } from './alarm.js'
import { folderExists } from './chain.js'
import { makeFolder, namesIn, newFolder, removeFolder, syncFolder, writeNew } from './disk.js'
import { codeOf, logError } from './errors.js'
import { Gate } from './gate.js'
import type { Home, Homes } from './home.js'
import type { HubListener } from './hub.js'
import { Journal } from './journal.js'
import type { Message } from './messages.js'
import { keyOf, partsOf, bucketOf } from './names.js'
import { OpenFiles } from './open-files.js'
import type { Settings } from './options.js'
import { maxPayloadBytes } from './record.js'
import { encodeHeader, segmentPath } from './segment.js'
import type { LogStore } from './store.js'
import { EmbeddedTokenLog } from './token-log.js'

/** So many logs are looked for, created, opened or released at once, so that heartbeats need not wait for thousands. */
const callsAtOnce = 16

/** Leaves one of the four threads of Node's pool to reads and heartbeats; a fourth sync at once brings nothing. */
const syncsAtOnce = 3

interface Opened {
  readonly home: Home
  readonly store: LogStore
  readonly ignore: () => void
}

interface JournalEntry {
  users: number
  readonly opening: Promise<Journal>
  journal: Journal | undefined
}

export class EmbeddedCommitLog implements CommitLog {
  readonly name = 'embedded'
  readonly maxRecordBytes = maxPayloadBytes
  readonly appendsInFlight = 1
  readonly #life: AdapterLife<Opened>
  readonly #journals = new Map<LogAddress, JournalEntry>()
  readonly #handles = new Set<TokenLog>()
  readonly #calls = new Gate(callsAtOnce)

  constructor(settings: Settings, homes: Homes) {
    this.#life = new AdapterLife(
      'the embedded log',
      (context) => this.#open(settings, homes, context),
      (opened) => this.#close(opened),
    )
  }

  start(context: AdapterContext): Promise<void> {
    return this.#life.start(context)
  }

  stop(): Promise<void> {
    return this.#life.stop()
  }

  allocate(token: string, inUse: ReadonlySet<LogAddress>, { signal }: CallOptions): Promise<LogAddress> {
    return this.#call(signal, async ({ store }) => {
      const key = keyOf(token)
      for (let count = 0; ; count++) {
        const address = `${key}.${count}`
        if (inUse.has(address)) continue
        const folder = folderOf(store, address)
        try {
          if (!(await folderExists(folder))) await createLog(store, folder)
        } catch (error) {
          throw logError(folder, error)
        }
        if (await this.#isEmpty(store, address)) return address
      }
    })
  }

  find(token: string, inUse: ReadonlySet<LogAddress>, { signal }: CallOptions): Promise<readonly LogAddress[]> {
    return this.#call(signal, async ({ store }) => {
      const key = keyOf(token)
      const bucket = join(store.folder.logs, bucketOf(key))
      const labels = join(store.folder.labels, key)
      try {
        const own = ((await namesIn(bucket)) ?? []).filter((name) => name.startsWith(`${key}.`))
        const found: LogAddress[] = []
        for (const address of new Set([...own, ...((await namesIn(labels)) ?? [])])) {
          if (partsOf(address) === undefined || inUse.has(address)) continue
          if ((await folderExists(folderOf(store, address))) && !(await this.#isEmpty(store, address)))
            found.push(address)
        }
        return found.sort()
      } catch (error) {
        throw logError(bucket, error)
      }
    })
  }

  open(address: LogAddress, { signal, token }: CallOptions & { readonly token: string }): Promise<TokenLog> {
    return this.#call(signal, async ({ store }) => {
      const parts = partsOf(address)
      if (parts === undefined) throw noLog(address)
      const { journal, release } = await this.#acquire(store, address)
      const handle = new EmbeddedTokenLog({
        journal,
        files: store.files,
        alarm: store.alarm,
        maxRecordBytes: this.maxRecordBytes,
        label: () => label(store, address, keyOf(token)),
        closed: () => {
          this.#handles.delete(handle)
          release()
        },
      })
      this.#handles.add(handle)
      // Stopped meanwhile, or given up by the caller: nobody else would close it.
      if (this.#life.signal.aborted || signal.aborted) await handle.close()
      return handle
    })
  }

  release(address: LogAddress, before: Offset, { signal }: CallOptions): Promise<void> {
    return this.#call(signal, async ({ store }) => {
      if (partsOf(address) === undefined) return
      const folder = folderOf(store, address)
      const exists = await folderExists(folder).catch((error: unknown) => {
        throw logError(folder, error)
      })
      if (!exists) return
      await this.#with(store, address, (journal) => journal.truncate(Number(before)))
    })
  }

  #call<R>(signal: AbortSignal, task: (opened: Opened) => Promise<R>): Promise<R> {
    return this.#life.call(signal, (opened) => this.#calls.run(() => task(opened)))
  }

  async #open(settings: Settings, homes: Homes, context: AdapterContext): Promise<Opened> {
    const home = await homes.enter(context)
    const heard = (message: Message): void => {
      if (message.kind !== 'log') return
      this.#journals.get(message.address)?.journal?.heard(message.identity, message.end)
    }
    const self: HubListener = { heard, lost: () => undefined }
    // Of this run, so that two processes never write the same.
    let nonce = randomBytes(8).readBigUInt64LE()
    const store: LogStore = {
      settings,
      folder: home.folder,
      hub: home.hub,
      self,
      files: new OpenFiles(settings.maxOpenFiles),
      alarm: new Alarm(),
      syncs: new Gate(syncsAtOnce),
      logger: context.logger,
      nonce: () => (nonce = BigInt.asUintN(64, nonce + 1n)),
    }
    return { home, store, ignore: home.hub.listen(self) }
  }

  async #close({ home, store, ignore }: Opened): Promise<void> {
    for (const handle of this.#handles) await handle.close()
    ignore()
    store.files.close()
    await home.leave()
  }

  async #isEmpty(store: LogStore, address: LogAddress): Promise<boolean> {
    return this.#with(store, address, async (journal) => {
      await journal.settle()
      return journal.chain.start === journal.end
    }).catch((error: unknown) => {
      // What is damaged holds something.
      if (isKagamiError(error, 'KAGAMI_LOG_LOST_TAIL')) return false
      throw error
    })
  }

  async #with<T>(store: LogStore, address: LogAddress, task: (journal: Journal) => Promise<T>): Promise<T> {
    const { journal, release } = await this.#acquire(store, address)
    try {
      return await task(journal)
    } finally {
      release()
    }
  }

  async #acquire(
    store: LogStore,
    address: LogAddress,
  ): Promise<{ readonly journal: Journal; readonly release: () => void }> {
    const known = this.#journals.get(address)
    const current = await known?.opening.then((journal) => journal.chain.isCurrent()).catch(() => false)
    // Handles on a log that was deleted keep its journal, and are told.
    if (known !== undefined && current === false) this.#forget(address, known)
    let entry = this.#journals.get(address)
    if (entry === undefined) {
      entry = { users: 0, opening: Journal.open(store, address, folderOf(store, address)), journal: undefined }
      this.#journals.set(address, entry)
    }
    const mine = entry
    mine.users++
    const release = (): void => {
      if (--mine.users === 0) this.#forget(address, mine)
    }
    try {
      const journal = await mine.opening
      mine.journal = journal
      return { journal, release }
    } catch (error) {
      release()
      throw error
    }
  }

  #forget(address: LogAddress, entry: JournalEntry): void {
    if (this.#journals.get(address) === entry) this.#journals.delete(address)
  }
}

function folderOf(store: LogStore, address: LogAddress): string {
  return join(store.folder.logs, partsOf(address)!.bucket, address)
}

function noLog(address: LogAddress): KagamiError {
  return new KagamiError('KAGAMI_LOG_REPLACED', `no log is at ${JSON.stringify(address)}: allocate one`)
}

/** Creates a log in one step: a process that dies within it leaves a whole log, or none. */
async function createLog(store: LogStore, folder: string): Promise<void> {
  const bucket = join(folder, '..')
  await makeFolder(bucket)
  const scratch = store.folder.scratch()
  await newFolder(scratch)
  const header = { identity: randomBytes(16).toString('hex'), base: 0, dataEnd: 0 }
  await writeNew(segmentPath(scratch, 0), encodeHeader(header))
  await syncFolder(scratch)
  try {
    await rename(scratch, folder)
  } catch (error) {
    await removeFolder(scratch, store.folder.scratch())
    if (codeOf(error) !== 'ENOTEMPTY' && codeOf(error) !== 'EEXIST') throw error
  }
  await syncFolder(bucket)
  // Another process may have made that folder just now, and not synced its name yet.
  await syncFolder(store.folder.logs)
}

/** Notes that a log holds records of a token that its address doesn't tell of. */
async function label(store: LogStore, address: LogAddress, key: string): Promise<void> {
  if (partsOf(address)!.key === key) return
  const folder = join(store.folder.labels, key)
  try {
    await makeFolder(folder)
    await writeNew(join(folder, address), new Uint8Array(0)).catch((error: unknown) => {
      if (codeOf(error) !== 'EEXIST') throw error
    })
    await syncFolder(folder)
    await syncFolder(store.folder.labels)
  } catch (error) {
    throw logError(folder, error)
  }
}
