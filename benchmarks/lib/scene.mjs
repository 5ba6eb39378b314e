/**
 * What one benchmark makes: a folder, nodes of this process, and worker processes. Whatever happens, `close` leaves none of
 * them, and a worker whose parent is gone ends by itself.
 */
import { execFile, fork } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { node, nowMs } from './nodes.mjs'

const workerFile = fileURLToPath(new URL('../worker.mjs', import.meta.url))
const appenderFile = fileURLToPath(new URL('../appender.mjs', import.meta.url))

export class Scene {
  /** Fewer rounds, to see that everything runs. */
  quick
  #dir
  #nodes = []
  #workers = []
  #programs = new Set()
  #folders = 0

  /** @param {{ dir: string, quick: boolean }} options */
  constructor({ dir, quick }) {
    this.#dir = dir
    this.quick = quick
    // Programs, unlike workers, don't know that they have a parent.
    process.on('exit', () => this.#stopPrograms())
  }

  /** A fresh folder. @param {string} name */
  folder(name) {
    const path = join(this.#dir, `${name}-${this.#folders++}`)
    mkdirSync(path)
    return path
  }

  /** A started node of this process. @param {Parameters<typeof node>[0]} options */
  async node(options) {
    const kagami = node(options)
    this.#nodes.push(kagami)
    await kagami.start()
    return kagami
  }

  /**
   * A node in a process of its own.
   * @param {{ dir: string, id: string } & Record<string, unknown>} options given to `start` in worker.mjs
   * @param {readonly string[]} [execArgv]
   */
  async worker(options, execArgv = []) {
    const worker = new Worker(options.id, workerFile, execArgv)
    this.#workers.push(worker)
    await worker.ask('start', options)
    return worker
  }

  /**
   * A process that appends to a log which it shares. `started` is the log's address.
   * @param {{ kind: 'embedded' | 'lmdb', dir: string, id: string, address?: string }} options given to `start` in appender.mjs
   */
  async appender(options) {
    const appender = new Worker(options.id, appenderFile)
    this.#workers.push(appender)
    appender.started = await appender.ask('start', options)
    return appender
  }

  /** What a program of Node prints. @param {string} path @param {readonly string[]} args */
  async output(path, args) {
    const running = promisify(execFile)(process.execPath, [path, ...args])
    this.#programs.add(running.child)
    const { stdout } = await running.finally(() => this.#programs.delete(running.child))
    return stdout
  }

  #stopPrograms() {
    for (const child of this.#programs) child.kill('SIGKILL')
  }

  async close() {
    this.#stopPrograms()
    await Promise.all(this.#workers.map((worker) => worker.kill()))
    await Promise.allSettled(this.#nodes.map((kagami) => kagami.stop({ deadlineMs: 2000 })))
  }
}

/** A worker process, and everything that it has told. */
export class Worker {
  id
  alive = true
  /** What its start gave. */
  started
  exited
  /** What its node told, with the time by the shared monotonic clock. @type {{ at: number, event: string, payload: any }[]} */
  events = []
  #child
  #gone
  #numbers = 0
  #answers = new Map()
  #watchers = new Set()

  /** @param {string} id @param {string} file @param {readonly string[]} execArgv */
  constructor(id, file, execArgv = []) {
    this.id = id
    this.#child = fork(file, { execArgv: [...execArgv], serialization: 'advanced' })
    this.exited = new Promise((resolve) => {
      this.#child.once('close', (code, signal) => {
        this.alive = false
        this.#gone = new Error(`worker ${id} has ended (${signal ?? code})`)
        for (const { reject } of this.#answers.values()) reject(this.#gone)
        for (const { reject } of this.#watchers) reject(this.#gone)
        resolve()
      })
    })
    this.#child.on('message', (message) => this.#heard(message))
  }

  /** @param {string} command @param {object} [options] @returns {Promise<any>} */
  ask(command, options = {}) {
    const number = ++this.#numbers
    return new Promise((resolve, reject) => {
      if (!this.alive) return reject(this.#gone)
      this.#answers.set(number, { resolve, reject })
      this.#child.send({ number, command, options }, (error) => {
        if (error) void this.exited.then(() => reject(this.#gone))
      })
    })
  }

  /**
   * The first event that fits, told at `since` or later; waits for it.
   * @param {string} event @param {number} since @param {(payload: any) => boolean} [fits]
   */
  until(event, since, fits = () => true) {
    const matches = (told) => told.event === event && told.at >= since && fits(told.payload)
    const known = this.events.find(matches)
    if (known !== undefined) return Promise.resolve(known)
    if (!this.alive) return Promise.reject(this.#gone)
    return new Promise((resolve, reject) => this.#watchers.add({ matches, resolve, reject }))
  }

  /** kill -9. Resolves when it is gone. */
  async kill() {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  freeze() {
    this.#child.kill('SIGSTOP')
  }

  thaw() {
    this.#child.kill('SIGCONT')
  }

  /** kill -9, and when: just before the signal. */
  killNow() {
    const at = nowMs()
    this.#child.kill('SIGKILL')
    return at
  }

  #heard(message) {
    if (message.type === 'answer') {
      const answer = this.#answers.get(message.number)
      this.#answers.delete(message.number)
      if (message.error === undefined) answer?.resolve(message.value)
      else answer?.reject(new Error(`worker ${this.id}: ${message.error}`))
      return
    }
    this.events.push(message)
    for (const watcher of this.#watchers) {
      if (!watcher.matches(message)) continue
      this.#watchers.delete(watcher)
      watcher.resolve(message)
    }
  }
}
