/** One node of the service: an HTTP server and the Kagami node behind it, started and stopped together. */
import type { AddressInfo } from 'node:net'
import { serve, type ServerType } from '@hono/node-server'
import { createKagami, type Kagami, type KagamiDefaultOptions } from 'kagami'
import { commandCodec, type Command, type Outcome } from '../state/command.js'
import { KvMachine } from '../state/kv-machine.js'
import { tokenNames } from './partition.js'
import { routes } from './routes.js'
import { httpSender } from './sender.js'

type ClusterOptions = Partial<
  Pick<
    KagamiDefaultOptions<Outcome, Command>,
    'dir' | 'log' | 'coordinator' | 'snapshots' | 'placement' | 'snapshotting' | 'placementLimits' | 'limits' | 'seams'
  >
>

export interface KvNodeOptions extends ClusterOptions {
  readonly id: string
  /** @default '127.0.0.1' */
  readonly host?: string
  /** 0 takes any free port. @default 0 */
  readonly port?: number
  /** The same on every node, for ever: keys are spread over this many tokens. @default 16 */
  readonly tokens?: number
  /** Copies of each token besides its primary. @default 1 */
  readonly replicas?: number
  /** Keep a ledger of applied requests in the state. The same on every node. @default false */
  readonly ledger?: boolean
  /** How long a request may wait for a primary or a copy, in milliseconds. @default 5000 */
  readonly patienceMs?: number
}

export interface KvNode {
  readonly url: string
  readonly kagami: Kagami<Outcome, Command>
  /** Hands the primaries over, answers what is under way, and closes. Idempotent. */
  stop(): Promise<void>
}

const MAX_CONNECTIONS_PER_PEER = 128

/**
 * Resolves when every token has a primary and requests are answered.
 * `beforeStart` is given the node before anything happens, to listen to its events.
 */
export async function startKvNode(
  options: KvNodeOptions,
  signal?: AbortSignal,
  beforeStart?: (node: KvNode) => void,
): Promise<KvNode> {
  const {
    id,
    host = '127.0.0.1',
    port = 0,
    tokens = 16,
    replicas = 1,
    ledger = false,
    patienceMs = 5000,
    ...cluster
  } = options
  const names = tokenNames(tokens)
  const sender = httpSender({ connectionsPerHost: MAX_CONNECTIONS_PER_PEER })
  // The address stands in the node's announcement, so the server listens first, and answers that it is not ready.
  let answer: (request: Request) => Response | Promise<Response> = () => new Response('starting', { status: 503 })
  const { server, url } = await listen((request) => answer(request), host, port)
  const kagami = await createOr(() => closeServer(server), {
    cluster: 'replicated-kv',
    node: { id, meta: { url } },
    stateMachine: () => new KvMachine({ ledger }),
    codec: commandCodec,
    ...cluster,
  })
  const { app, close } = routes({ kagami, node: id, tokens: names, sender, patienceMs })
  let stopping: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    await kagami.stop()
    await closeServer(server)
    close()
    sender.close()
  }
  const node: KvNode = { url, kagami, stop: () => (stopping ??= stop()) }
  try {
    beforeStart?.(node)
    const abort = signal === undefined ? {} : { signal }
    await kagami.start(abort)
    answer = (request) => app.fetch(request)
    await Promise.all(names.map((name) => kagami.token(name, { replicas, ...abort })))
    return node
  } catch (error) {
    await node.stop()
    throw error
  }
}

/** A server that listens keeps its process alive, also where the node's options are refused. */
async function createOr(
  undo: () => Promise<void>,
  options: KagamiDefaultOptions<Outcome, Command>,
): Promise<Kagami<Outcome, Command>> {
  try {
    return createKagami(options)
  } catch (error) {
    await undo()
    throw error
  }
}

function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  hostname: string,
  port: number,
): Promise<{ readonly server: ServerType; readonly url: string }> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, hostname, port }, (info: AddressInfo) => {
      resolve({ server, url: `http://${hostname}:${info.port}` })
    })
    server.once('error', reject)
  })
}

function closeServer(server: ServerType): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    if ('closeIdleConnections' in server) server.closeIdleConnections()
  })
}
