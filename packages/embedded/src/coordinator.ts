/** The coordinator of a folder: opens sessions, and keeps them apart from the log. */
import type { AdapterContext, CallOptions, Coordinator, Session } from '@kagami/core/contract'
import { AdapterLife } from './adapter-life.js'
import { Documents } from './documents.js'
import { codeOf, coordinatorError, isForbidden } from './errors.js'
import type { Home, Homes } from './home.js'
import type { HubListener } from './hub.js'
import type { Message } from './messages.js'
import { Offices } from './offices.js'
import type { Settings } from './options.js'
import { Pulse } from './pulse.js'
import { Roster } from './roster.js'
import { SessionFiles } from './session-files.js'
import { EmbeddedSession } from './session.js'
import type { SessionParts } from './session.js'

interface Opened {
  readonly home: Home
  readonly parts: SessionParts
  readonly ignore: () => void
}

export class EmbeddedCoordinator implements Coordinator {
  readonly name = 'embedded'
  readonly maxDocumentBytes = 4 * 1024 * 1024
  readonly #settings: Settings
  readonly #life: AdapterLife<Opened>
  readonly #sessions = new Set<Session>()

  constructor(settings: Settings, homes: Homes) {
    this.#settings = settings
    this.#life = new AdapterLife(
      'the embedded coordinator',
      (context) => this.#open(homes, context),
      (opened) => this.#close(opened),
    )
  }

  start(context: AdapterContext): Promise<void> {
    return this.#life.start(context)
  }

  stop(): Promise<void> {
    return this.#life.stop()
  }

  connect({ signal }: CallOptions): Promise<Session> {
    return this.#life.call(signal, async ({ home, parts }) => {
      const { sessionTimeoutMs } = this.#settings
      const contactAt = performance.now()
      let id: string
      try {
        id = await parts.files.create(sessionTimeoutMs).catch(async (error: unknown) => {
          if (codeOf(error) !== 'ENOENT') throw error
          await home.folder.restore()
          return parts.files.create(sessionTimeoutMs)
        })
      } catch (error) {
        throw coordinatorError(home.folder.root, error)
      }
      const session = new EmbeddedSession(id, sessionTimeoutMs, contactAt, parts)
      this.#sessions.add(session)
      // Stopped meanwhile, or given up by the caller: nobody else would close it.
      if (this.#life.signal.aborted || signal.aborted) await session.close()
      parts.tell({ kind: 'sessions' })
      return session
    })
  }

  async #open(homes: Homes, context: AdapterContext): Promise<Opened> {
    const home = await homes.enter(context)
    const { folder, hub } = home
    const { logger } = context
    const files: SessionFiles = new SessionFiles(folder, (id, error) => roster.refused(id, error))
    // Twice as often as sessions beat, but a dead process is noticed within a second whatever the timeout is.
    const roster = new Roster(folder, files, logger, Math.min(250, this.#settings.sessionTimeoutMs / 8))
    // As though they came from an older backup, which whoever uses them must be able to bear. Elections must not go back.
    const documents = new Documents(folder.documents, folder, (name, error, known) => {
      const what = isForbidden(error) ? 'may not be read by this process' : 'is damaged'
      const counts = 'counts as it was before its last change, or as empty, for who has not read it before'
      if (!known) logger.error(`document ${name} ${what}, and ${counts}`, { error })
      // Each time, since any message may be lost.
      if (!isForbidden(error)) tell({ kind: 'documents', name, damaged: true })
    })
    const mend = async (name: string): Promise<void> => {
      try {
        if (!(await documents.mend(name))) return
        logger.warn(`document ${name} was damaged, and is written anew as this process has read it before`)
        tell({ kind: 'documents', name })
      } catch (error) {
        logger.debug(`document ${name} is damaged, and can't be written anew now`, { error })
      }
    }
    const officeChanges = new Pulse()
    const happened = (message: Message): void => {
      if (message.kind === 'documents' && message.damaged === true) void mend(message.name)
      else if (message.kind === 'documents') documents.told(message.name)
      if (message.kind === 'offices') officeChanges.beat()
      if (message.kind === 'sessions') roster.refresh().catch(() => undefined)
    }
    const self: HubListener = {
      heard: happened,
      lost: (process) => void roster.suspect(process),
    }
    const tell = (message: Message): void => {
      happened(message)
      hub.tell(message, self)
    }
    const parts: SessionParts = {
      files,
      roster,
      documents,
      offices: new Offices(new Documents(folder.offices, folder), roster, logger, () => tell({ kind: 'offices' })),
      officeChanges,
      maxDocumentBytes: this.maxDocumentBytes,
      logger,
      path: folder.root,
      tell,
      closed: (session) => this.#sessions.delete(session),
    }
    roster.start()
    return { home, parts, ignore: hub.listen(self) }
  }

  async #close({ home, parts, ignore }: Opened): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.close()))
    await parts.roster.stop()
    ignore()
    await home.leave()
  }
}
