/** A cluster of real processes on the embedded default, and the command beside it, each run of it a process of its own. Leaves no process and no folder. */
import { fork, spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { openCluster, type ClusterStatus, type TokenOptions } from '../../src/index.js'

const commandPath = fileURLToPath(new URL('../../dist/command/main.js', import.meta.url))
const nodePath = fileURLToPath(new URL('./children/node.mjs', import.meta.url))

export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'kagami-command-'))
  // A document that a node was writing when it was killed may still get its name moments later.
  onTestFinished(() => rm(path, { recursive: true, force: true, maxRetries: 10 }))
  return path
}

/** What a run of the command came to. */
export interface Ran {
  readonly pid: number
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
  /** The last line of standard output, as JSON. */
  readonly json: unknown
}

/** A run of the command that is under way. */
export class Running {
  readonly #child: ChildProcess
  readonly ended: Promise<Ran>
  #stdout = ''
  #stderr = ''
  #ask: () => void = () => undefined

  constructor(args: readonly string[], cwd?: string) {
    const child = spawn(process.execPath, [commandPath, ...args], { stdio: ['ignore', 'pipe', 'pipe'], cwd })
    this.#child = child
    child.stdout.on('data', (chunk: Buffer) => {
      this.#stdout += chunk.toString()
      this.#ask()
    })
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (exitCode) => {
        this.#ask()
        resolve({ pid: child.pid!, exitCode, stdout: this.#stdout, stderr: this.#stderr, json: jsonIn(this.#stdout) })
      })
    })
    onTestFinished(() => void child.kill('SIGKILL'))
  }

  /** Resolves when the output holds what is looked for. Rejects when the command ends without it. */
  async shows(what: RegExp): Promise<void> {
    const found = new Promise<true>((resolve) => {
      this.#ask = () => what.test(this.#stdout) && resolve(true)
      this.#ask()
    })
    const ended = await Promise.race([found, this.ended])
    if (ended !== true && !what.test(this.#stdout))
      throw new Error(`it ended without ${what}: ${JSON.stringify(ended)}`)
  }

  /** Forgets what was shown until now. */
  forget(): void {
    this.#stdout = ''
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }
}

function jsonIn(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '')
  } catch {
    return undefined
  }
}

export function run(...args: readonly string[]): Promise<Ran> {
  return new Running(args).ended
}

interface Look {
  readonly roles: Readonly<Record<string, string>>
  readonly members: readonly string[]
  readonly controller: boolean
}

export class Shop {
  readonly dir: string
  readonly nodes = new Map<string, ChildProcess>()
  #asked = 0

  private constructor(dir: string) {
    this.dir = dir
  }

  static async open(ids: readonly string[]): Promise<Shop> {
    const shop = new Shop(await folder())
    await Promise.all(ids.map((id) => shop.start(id)))
    return shop
  }

  get place(): readonly string[] {
    return ['--dir', this.dir, '--cluster', 'shop']
  }

  async start(id: string): Promise<void> {
    const log = process.env['KAGAMI_TEST_LOG'] ? 'inherit' : 'ignore'
    const child = fork(nodePath, [this.dir, id], { stdio: ['ignore', 'ignore', log, 'ipc'] })
    this.nodes.set(id, child)
    onTestFinished(() => this.kill(id))
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve())
      child.once('exit', (code) => reject(new Error(`node ${id} ended with ${code}`)))
    })
  }

  /** kill -9. Resolves when it is gone. */
  async kill(id: string): Promise<void> {
    const child = this.nodes.get(id)
    this.nodes.delete(id)
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  ask<T = undefined>(id: string, command: string, rest: object = {}): Promise<T> {
    const child = this.nodes.get(id)
    const number = ++this.#asked
    return new Promise<T>((resolve, reject) => {
      if (child === undefined) return reject(new Error(`there is no node ${id}`))
      const listen = (answer: { number: number; value: T; error?: string }): void => {
        if (answer.number !== number) return
        child.off('message', listen)
        if (answer.error === undefined) resolve(answer.value)
        else reject(new Error(answer.error))
      }
      child.on('message', listen)
      child.send({ number, command, ...rest })
    })
  }

  look(id: string): Promise<Look> {
    return this.ask<Look>(id, 'look')
  }

  token(id: string, token: string, options: TokenOptions): Promise<void> {
    return this.ask<void>(id, 'token', { token, options })
  }

  /** Runs the command on this cluster. */
  kagami(...args: readonly string[]): Promise<Ran> {
    return run(...args, ...this.place)
  }

  /** The first status of which a condition holds, seen without the command. */
  async seen(holds: (status: ClusterStatus) => boolean): Promise<ClusterStatus> {
    await using cluster = await openCluster({ cluster: 'shop', dir: this.dir })
    for await (const status of cluster.watch()) if (holds(status)) return status
    throw new Error('the watch ended by itself')
  }

  /** What a process has in the folder besides logs and documents, and sockets that are nobody's. */
  async tracesOf(pid: number): Promise<readonly string[]> {
    const [cluster] = (await readdir(this.dir)).filter((name) => name.endsWith('.v1'))
    const root = join(this.dir, cluster!)
    const isOwn = async (path: string): Promise<boolean> => {
      // Others' may go meanwhile.
      const text = await readFile(join(root, path), 'utf8').catch(() => '{}')
      return (JSON.parse(text) as { process?: { pid: number } }).process?.pid === pid
    }
    const found = (await readdir(join(root, 'scratch'))).filter((name) => name.startsWith(`${pid}-`))
    for (const id of await readdir(join(root, 'sessions'))) if (await isOwn(`sessions/${id}/info`)) found.push(id)
    const peers = await readdir(join(root, 'peers'))
    for (const name of peers) {
      const card = name.replace(/sock$/, 'json')
      if (!peers.includes(card) || (await isOwn(`peers/${card}`))) found.push(name)
    }
    return found
  }
}
