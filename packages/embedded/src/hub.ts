/**
 * Tells the other processes of the folder that something has changed, over local sockets, and notices at once when one
 * of them is gone. Only ever a hint: who relies on the folder looks there by itself, more slowly, so every message may be lost.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createConnection, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { join } from 'node:path'
import type { Logger } from '@kagami/core/contract'
import { linkNew, namesIn, removeFile, writeNew } from './disk.js'
import type { Folder } from './folder.js'
import { readMessages, writeMessage } from './messages.js'
import type { Message } from './messages.js'
import { identityFrom, isDead } from './process-identity.js'
import type { ProcessIdentity } from './process-identity.js'
import { outsidePath, socketPath } from './socket-path.js'
import type { SocketPath } from './socket-path.js'

/** What waits for a peer that doesn't read, a stopped process for instance. More is dropped: it looks by itself. */
const maxUnreadBytes = 262_144

export interface HubListener {
  /** Something changed, in another process or elsewhere in this one. */
  heard(message: Message): void
  /** A connection ended: its process may have died. */
  lost(peer: ProcessIdentity): void
}

interface PeerCard {
  /** Where it is reached, if its socket does not lie beside this card. */
  readonly socket?: string
  readonly process: ProcessIdentity
}

export class Hub {
  readonly #folder: Folder
  readonly #logger: Logger
  readonly #id = randomBytes(8).toString('hex')
  readonly #listeners = new Set<HubListener>()
  readonly #peers = new Map<string, { readonly process: ProcessIdentity; readonly sockets: Set<Socket> }>()
  readonly #sockets = new Set<Socket>()
  #outbox = new Map<string, Message>()
  #server: Server | undefined
  #socket: SocketPath | undefined
  #stopped = false

  constructor(folder: Folder, logger: Logger) {
    this.#folder = folder
    this.#logger = logger
  }

  /** Never rejects because of sockets: without them everything goes on, more slowly. */
  async start(): Promise<void> {
    try {
      this.#socket = socketPath(this.#folder.peers, socketName(this.#id))
      const { path, outside } = this.#socket
      this.#server = await listen(path, (socket) => this.#greet(socket, undefined))
      const card: PeerCard = { ...(outside ? { socket: path } : {}), process: this.#folder.own }
      const scratch = this.#folder.scratch()
      await writeNew(scratch, Buffer.from(JSON.stringify(card)), false)
      await linkNew(scratch, this.#cardPath(this.#id))
      await removeFile(scratch)
    } catch (error) {
      this.#logger.warn('other processes can not be told of changes at once, so they will look for them', {
        folder: this.#folder.peers,
        error,
      })
    }
    await this.meet()
  }

  listen(listener: HubListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells the other processes, and the other adapters on this hub, soon; what is told several times at once is told once. */
  tell(message: Message, from?: HubListener): void {
    if (this.#stopped) return
    for (const listener of this.#listeners) if (listener !== from) listener.heard(message)
    if (this.#peers.size === 0) return
    if (this.#outbox.size === 0) setImmediate(() => this.#send())
    // The outbox is bounded by what there is to tell of: each log, each document, and the rest.
    this.#outbox.set(subjectOf(message), message)
  }

  /** Connects to the processes that it doesn't know yet, and clears away what dead ones have left. */
  async meet(): Promise<void> {
    const names = (await namesIn(this.#folder.peers).catch(() => undefined)) ?? []
    for (const name of names) {
      if (this.#stopped) return
      const id = /^([0-9a-f]{16})\.json$/.exec(name)?.[1]
      if (id === undefined || id === this.#id || this.#peers.has(id)) continue
      const card = await this.#cardOf(id)
      if (card === undefined || this.#stopped) continue
      if (isDead(card.process, this.#folder.own)) await this.#clear(id, card)
      else this.#connect(id, card)
    }
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    await removeFile(this.#cardPath(this.#id)).catch(() => undefined)
    for (const socket of this.#sockets) socket.destroy()
    const server = this.#server
    if (server !== undefined) await new Promise<void>((resolve) => server.close(() => resolve()))
    // Its path leads to it only until it is released.
    if (this.#socket !== undefined) await removeFile(this.#socket.path).catch(() => undefined)
    this.#socket?.release()
  }

  #send(): void {
    const outbox = this.#outbox
    this.#outbox = new Map()
    const bytes = Buffer.concat([...outbox.values()].map(writeMessage))
    for (const { sockets } of this.#peers.values()) {
      const [socket] = sockets
      if (socket === undefined || socket.writableLength > maxUnreadBytes) continue
      socket.write(bytes)
    }
  }

  #connect(id: string, card: PeerCard): void {
    let way: SocketPath | undefined
    let socket: Socket
    try {
      way = socketPath(this.#folder.peers, socketName(id))
      socket = createConnection(card.socket ?? way.path)
    } catch {
      // No path for a socket: its owner is left to look by itself.
      way?.release()
      return
    }
    socket.once('connect', way.release).once('close', way.release)
    this.#greet(socket, { id, process: card.process })
    socket.write(writeMessage({ kind: 'hello', id: this.#id, process: this.#folder.own }))
  }

  #greet(socket: Socket, known: { readonly id: string; readonly process: ProcessIdentity } | undefined): void {
    let peer = known
    this.#sockets.add(socket)
    if (peer !== undefined) this.#add(peer.id, peer.process, socket)
    let rest: Buffer = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      const read = readMessages(rest.byteLength === 0 ? chunk : Buffer.concat([rest, chunk]))
      if (read === undefined) {
        socket.destroy()
        return
      }
      rest = read.rest
      for (const message of read.messages) {
        if (message.kind === 'hello') {
          peer ??= { id: message.id, process: message.process }
          this.#add(peer.id, peer.process, socket)
        } else for (const listener of this.#listeners) listener.heard(message)
      }
    })
    // What went wrong is told by 'close', which always follows.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      this.#sockets.delete(socket)
      if (peer === undefined || this.#stopped) return
      const sockets = this.#peers.get(peer.id)?.sockets
      sockets?.delete(socket)
      if (sockets?.size === 0) this.#peers.delete(peer.id)
      for (const listener of this.#listeners) listener.lost(peer.process)
    })
    if (this.#stopped) socket.destroy()
  }

  #add(id: string, process: ProcessIdentity, socket: Socket): void {
    const peer = this.#peers.get(id) ?? { process, sockets: new Set() }
    peer.sockets.add(socket)
    this.#peers.set(id, peer)
  }

  #cardPath(id: string): string {
    return join(this.#folder.peers, `${id}.json`)
  }

  async #cardOf(id: string): Promise<PeerCard | undefined> {
    try {
      const card: unknown = JSON.parse(await readFile(this.#cardPath(id), 'utf8'))
      if (typeof card !== 'object' || card === null || !('process' in card)) return undefined
      const process = identityFrom(card.process)
      if (process === undefined) return undefined
      return 'socket' in card && typeof card.socket === 'string' ? { socket: card.socket, process } : { process }
    } catch {
      return undefined
    }
  }

  async #clear(id: string, card: PeerCard): Promise<void> {
    const { peers } = this.#folder
    await removeFile(join(peers, socketName(id))).catch(() => undefined)
    // A damaged card must not make us delete anything else.
    const outside = outsidePath(peers, socketName(id))
    if (card.socket === outside) await removeFile(outside).catch(() => undefined)
    await removeFile(this.#cardPath(id)).catch(() => undefined)
  }
}

/** What a message tells of: a later one says all that an earlier one did. */
function subjectOf(message: Message): string {
  switch (message.kind) {
    case 'log':
      return `log ${message.address}`
    case 'documents':
      return message.damaged === true ? `damage ${message.name}` : `document ${message.name}`
    default:
      return message.kind
  }
}

function socketName(id: string): string {
  return `${id}.sock`
}

function listen(path: string, connected: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(connected)
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      server.on('error', () => undefined)
      resolve(server)
    })
  })
}
