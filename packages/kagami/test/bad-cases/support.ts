/**
 * A small service on the embedded default, all its nodes in this process, for the tests of what people do wrong: it remembers what
 * it acknowledged, and has a token that goes on beside the one that is ill-treated. Everything is stopped and removed with the test.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished } from 'vitest'
import {
  createKagami,
  isKagamiError,
  type Entry,
  type Kagami,
  type KagamiDefaultOptions,
  type KagamiError,
  type StateMachine,
  type StateSnapshot,
} from '../../src/index.js'

/** A state machine that remembers every entry, as text, in order. */
export class Ledger implements StateMachine<number> {
  lines: string[] = []

  apply({ value }: Entry): number {
    return this.lines.push(Buffer.from(value).toString())
  }

  snapshot(): StateSnapshot {
    const lines = [...this.lines]
    return {
      async *persist() {
        for (const line of lines) yield Buffer.from(`${line}\n`)
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Buffer[] = []
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    this.lines = Buffer.concat(parts).toString().split('\n').slice(0, -1)
  }
}

export const TOKEN = 'orders'
/** The token that must not notice anything. */
const OTHER = 'carts'

export type NodeOptions = Partial<KagamiDefaultOptions<number>>

/** Uses a state machine of its own for {@link TOKEN}, and plain ledgers for all others. */
export function forToken(make: () => StateMachine<number>): NodeOptions {
  return { stateMachine: (token) => (token === TOKEN ? make() : new Ledger()) }
}

export const line = (text: string): Uint8Array => Buffer.from(text)

export class Service {
  readonly dir: string
  readonly nodes = new Map<string, Kagami<number>>()
  /** What the nodes logged as warnings and errors. */
  readonly logged: string[] = []
  /** What copies were restored from since the last restart, on all nodes, in that order; undefined stands for the log alone. */
  restored: { readonly token: string; readonly snapshot: string | undefined }[] = []
  /** By token, the acknowledged entries in the order of their positions. */
  readonly #acked = new Map<string, Map<number, string>>()
  #other: { readonly end: AbortController; readonly done: Promise<void> } | undefined
  #otherWrites = 0
  #written = 0

  private constructor(dir: string) {
    this.dir = dir
  }

  /** A service of these nodes in a folder of its own. */
  static async open(ids: readonly string[], options: NodeOptions = {}): Promise<Service> {
    const dir = await folder()
    const service = new Service(dir)
    onTestFinished(() => service.#close())
    await Promise.all(ids.map((id) => service.start(id, options)))
    return service
  }

  /** A service of two nodes: the token, and the other one, are served by `a`, with a replica on `b` that is in sync. */
  static async pair(options: NodeOptions = {}): Promise<Service> {
    const service = await Service.open(['a', 'b'], options)
    await service.own('a')
    return service
  }

  /** A node that is not started. */
  make(id: string, options: NodeOptions = {}): Kagami<number> {
    const quiet = (): void => undefined
    const log = (message: string, fields?: object): void => void this.logged.push(`${id}: ${message} ${text(fields)}`)
    const kagami = createKagami<number>({
      cluster: 'shop',
      dir: this.dir,
      node: { id },
      stateMachine: () => new Ledger(),
      seams: { logger: { debug: quiet, info: quiet, warn: log, error: log } },
      ...options,
    })
    kagami.on('restored', ({ token, snapshot }) => this.restored.push({ token, snapshot }))
    return kagami
  }

  async start(id: string, options: NodeOptions = {}): Promise<Kagami<number>> {
    const kagami = this.make(id, options)
    this.nodes.set(id, kagami)
    await kagami.start()
    return kagami
  }

  async stop(id: string): Promise<void> {
    await this.node(id).stop()
    this.nodes.delete(id)
  }

  node(id: string): Kagami<number> {
    const kagami = this.nodes.get(id)
    if (kagami === undefined) throw new Error(`there is no node ${id}`)
    return kagami
  }

  /** Makes a node the owner of the token, and another one of the other token, which is written to from now on. */
  async own(owner: string, ownerOfOther = owner): Promise<void> {
    await this.node(owner).token(TOKEN, { primary: 'self' })
    await this.node(ownerOfOther).token(OTHER, { primary: 'self' })
    const inSync = (token: string) => [...this.nodes.values()].filter((node) => node.get(token)?.lag.caughtUp).length
    await eventually(() => inSync(TOKEN) === 2 && inSync(OTHER) === 2, 'the replicas are in sync')
    await this.write()
    const end = new AbortController()
    const done = this.#keepWritingOther(end)
    // Whoever waits for the other token is told; before that, a failure belongs to nobody.
    done.catch(() => undefined)
    this.#other = { end, done }
  }

  /** The node that serves the token. */
  async primary(token = TOKEN): Promise<Kagami<number>> {
    return eventually(
      () => [...this.nodes.values()].find((node) => node.get(token)?.role === 'primary'),
      `'${token}' has a primary`,
    )
  }

  /** Writes an entry to the token where it is served, and remembers it. */
  async write(text = `entry ${this.#written++}`): Promise<void> {
    const { position } = await (await this.primary()).get(TOKEN)!.replicate(line(text))
    this.remember(text, position.index)
  }

  /** Notes that the log holds an entry: acknowledged, or committed though its author was told of a failure. */
  remember(text: string, index: number, token = TOKEN): void {
    const acked = this.#acked.get(token) ?? new Map<number, string>()
    this.#acked.set(token, acked.set(index, text))
  }

  /** Stops all nodes, and starts these on the same folder. */
  async restart(ids: readonly string[], options: NodeOptions = {}): Promise<void> {
    await this.#endOther()
    for (const id of [...this.nodes.keys()]) await this.stop(id)
    this.restored = []
    await Promise.all(ids.map((id) => this.start(id, options)))
  }

  /**
   * The service has come to no harm: writes of both tokens are acknowledged, and so many copies of the token, and two of the other one, hold exactly
   * what was acknowledged.
   */
  async goesOn({ copies = 2 } = {}): Promise<void> {
    await this.write()
    await this.otherGoesOn()
    await this.#endOther()
    await this.holds(TOKEN, copies)
    await this.holds(OTHER, 2)
  }

  /** More writes of the other token are acknowledged, however the first one fares now. */
  async otherGoesOn(): Promise<void> {
    const wanted = this.#otherWrites + 5
    if (this.#other === undefined) while (this.#otherWrites < wanted) await this.#writeOther()
    else
      await Promise.race([this.#other.done, eventually(() => this.#otherWrites >= wanted, 'the other token goes on')])
  }

  /** So many copies of the token hold exactly what was acknowledged. */
  async holds(token: string, copies: number): Promise<void> {
    const healthy = (): [string, Kagami<number>][] =>
      [...this.nodes].filter(([, node]) => ['primary', 'replica'].includes(node.get(token)?.role ?? 'none'))
    const restored = (): boolean => healthy().filter(([, node]) => node.get(token)?.lag.caughtUp).length === copies
    await eventually(restored, `'${token}' has ${copies} copies that are in sync`)
    const expected = [...(this.#acked.get(token) ?? [])].sort(([a], [b]) => a - b).map(([, text]) => text)
    for (const [id, node] of healthy()) {
      const handle = node.get(token)!
      await handle.sync()
      expect((handle.state as Ledger).lines, `'${token}' on ${id}`).toEqual(expected)
    }
  }

  async #writeOther(): Promise<void> {
    const text = `beside ${this.#otherWrites}`
    const { position } = await (await this.primary(OTHER)).get(OTHER)!.replicate(line(text))
    this.remember(text, position.index, OTHER)
    this.#otherWrites += 1
  }

  async #keepWritingOther({ signal }: AbortController): Promise<void> {
    while (!signal.aborted) {
      await this.#writeOther()
      await sleep(5)
    }
  }

  async #endOther(): Promise<void> {
    this.#other?.end.abort()
    await this.#other?.done
    this.#other = undefined
  }

  async #close(): Promise<void> {
    await this.#endOther().catch(() => undefined)
    await Promise.all([...this.nodes.values()].map((node) => node.stop({ deadlineMs: 5_000 })))
  }
}

/** A new folder, removed when the test has ended. */
export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kagami-bad-cases-'))
  // A document that a node was writing when it was stopped may still get its name moments later.
  onTestFinished(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  return path
}

/** What a call is refused with: an error of Kagami, or the test fails. */
export async function refusal(call: Promise<unknown>): Promise<KagamiError> {
  const outcome = await call.then(
    (value) => new Error('the call was not refused', { cause: value }),
    (error: unknown) => error,
  )
  if (isKagamiError(outcome)) return outcome
  throw outcome
}

/** Polls a condition until it holds. */
export async function eventually<T>(
  condition: () => T | undefined | false,
  what: string,
  timeoutMs = 20_000,
): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const value = condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(5)
  }
}

function text(fields: object = {}): string {
  return Object.values(fields).map(String).join(' ')
}
