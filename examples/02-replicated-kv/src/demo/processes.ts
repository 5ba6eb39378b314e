/** The demonstration's node processes, and the folder that they share: started, killed, stopped, and never left behind. */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { NodeProcessOptions, Said } from './messages.js'

const PROGRAM = fileURLToPath(new URL('./node-process.js', import.meta.url))
const MAX_COMPLAINT_CHARACTERS = 4000
/** A node that was told to stop, and did not, is killed after this. Milliseconds. */
const STOP_WITHIN_MS = 12_000

export interface NodeProcess {
  readonly id: string
  readonly pid: number
  readonly url: string
}

export interface ProcessesOptions {
  readonly tokens: number
  readonly replicas: number
  readonly onSaid: (node: string, said: Said) => void
  /** A node ended that nobody had killed. */
  readonly onCrash: (error: Error) => void
}

interface Running {
  readonly child: ChildProcess
  readonly exited: Promise<void>
  url: string | undefined
  /** Its end is wanted. */
  ending: boolean
  complaint: string
}

export class Processes {
  readonly #options: ProcessesOptions
  readonly #home = mkdtempSync(join(tmpdir(), 'kagami-demo-'))
  readonly #running = new Map<string, Running>()

  constructor(options: ProcessesOptions) {
    this.#options = options
  }

  /** The nodes that are up. */
  get nodes(): readonly NodeProcess[] {
    const up: NodeProcess[] = []
    for (const [id, { child, url, ending }] of this.#running) {
      if (url !== undefined && child.pid !== undefined && !ending) up.push({ id, pid: child.pid, url })
    }
    return up
  }

  /** Resolves when the node serves. */
  async start(id: string): Promise<void> {
    const { tokens, replicas, onSaid, onCrash } = this.#options
    const home = this.#home
    const options: NodeProcessOptions = { id, dir: join(home, 'data'), home, tokens, replicas }
    const child = fork(PROGRAM, [JSON.stringify(options)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      // Out of the terminal's group: Ctrl-C reaches the demonstration alone, which then ends its nodes.
      detached: true,
      execArgv: [],
      // Each sync of a log holds one of these threads; a slow disk must not keep the rest of the node waiting for one.
      env: { UV_THREADPOOL_SIZE: '16', ...process.env },
    })
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const running: Running = { child, exited, url: undefined, ending: false, complaint: '' }
    this.#running.set(id, running)
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      running.complaint = (running.complaint + text).slice(-MAX_COMPLAINT_CHARACTERS)
    })
    await new Promise<void>((resolve, reject) => {
      child.on('message', (said: Said) => {
        if (said.type === 'ready') {
          running.url = said.url
          resolve()
        }
        onSaid(id, said)
      })
      child.once('error', reject)
      child.once('close', (code, signal) => {
        this.#running.delete(id)
        const error = new Error(
          `node ${id} ended with ${code ?? signal ?? '?'}: ${running.complaint || 'it said nothing'}`,
        )
        if (running.url === undefined) reject(error)
        else if (!running.ending) onCrash(error)
      })
    })
  }

  /** kill -9. Gives the time of it. */
  kill(id: string): number {
    const running = this.#running.get(id)
    if (running === undefined) throw new Error(`there is no node ${id} to kill`)
    running.ending = true
    const atMs = Date.now()
    running.child.kill('SIGKILL')
    return atMs
  }

  /** What a node has printed, for people. */
  complaints(): readonly string[] {
    return [...this.#running]
      .filter(([, { complaint }]) => complaint !== '')
      .map(([id, { complaint }]) => `${id}: ${complaint}`)
  }

  /** Stops every node as an operator would, one after the other's hand-over. Gives those that had to be killed. */
  async stop(): Promise<readonly string[]> {
    const stubborn: string[] = []
    await Promise.all(
      [...this.#running].map(async ([id, running]) => {
        running.ending = true
        if (running.child.connected) running.child.send({ type: 'stop' }, () => undefined)
        const timer = setTimeout(() => {
          stubborn.push(id)
          running.child.kill('SIGKILL')
        }, STOP_WITHIN_MS)
        await running.exited
        clearTimeout(timer)
      }),
    )
    return stubborn
  }

  /** Ends every process at once and removes the folder. Idempotent. */
  async destroy(): Promise<void> {
    const all = [...this.#running.values()]
    for (const running of all) {
      running.ending = true
      running.child.kill('SIGKILL')
    }
    await Promise.all(all.map(({ exited }) => exited))
    rmSync(this.#home, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
  }
}
