/** Starts, commands, kills and restarts worker processes, and keeps what their writers were told. Leaves no process and no folder. */
import { fork, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface DeathPlan {
  readonly op: string
  readonly phase: 'before' | 'during' | 'after'
}

export interface Status {
  readonly member: string | undefined
  readonly controller: boolean
  readonly problems: readonly string[]
  readonly copies: Readonly<
    Record<string, { readonly role: string; readonly caughtUp: boolean; readonly epoch: number }>
  >
}

/** Where a token is served, and in which epoch. */
export interface Place {
  /** The node's id. */
  readonly primary: string
  readonly epoch: number
}

export class Fleet implements AsyncDisposable {
  readonly acked = new Set<string>()
  readonly rejected = new Set<string>()
  readonly workers = new Map<string, Worker>()
  readonly tokens: readonly string[]
  readonly sessionTimeoutMs: number
  #dir = ''
  #runs = 0

  constructor(tokens: readonly string[], sessionTimeoutMs = 1000) {
    this.tokens = tokens
    this.sessionTimeoutMs = sessionTimeoutMs
  }

  get dir(): string {
    return this.#dir
  }

  async open(ids: readonly string[]): Promise<void> {
    this.#dir = await mkdtemp(join(tmpdir(), 'kagami-faults-'))
    await Promise.all(ids.map((id) => this.start(id)))
  }

  /** Starts a node. Resolves when it serves, or when it has died as planned. */
  async start(id: string, plan?: DeathPlan): Promise<Worker> {
    const env = { ...process.env, KAGAMI_TOKENS: JSON.stringify(this.tokens), KAGAMI_DIE: JSON.stringify(plan ?? null) }
    const args = [this.#dir, id, String(++this.#runs), String(this.sessionTimeoutMs)]
    const child = fork(fileURLToPath(new URL('worker.mjs', import.meta.url)), args, {
      env,
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    })
    const worker = new Worker(id, child, (acked, rejected) => {
      for (const entry of acked) this.acked.add(entry)
      for (const entry of rejected) this.rejected.add(entry)
    })
    this.workers.set(id, worker)
    await worker.readyOrDead
    return worker
  }

  get alive(): Worker[] {
    return [...this.workers.values()].filter((worker) => worker.alive)
  }

  /** Waits until every token has one primary and its replica is caught up. */
  async settled(timeoutMs = 30_000): Promise<void> {
    const until = performance.now() + timeoutMs
    for (;;) {
      const states = await Promise.all(this.alive.map((worker) => worker.ask<Status>('status')))
      const wrong = this.tokens.filter((token) => {
        const copies = states.map(({ copies }) => copies[token]).filter((copy) => copy !== undefined)
        const primaries = copies.filter(({ role }) => role === 'primary').length
        return primaries !== 1 || copies.length !== 2 || copies.some(({ caughtUp }) => !caughtUp)
      })
      if (wrong.length === 0) return
      if (performance.now() > until) {
        const shown = this.alive.map(({ id }, i) => `${id}: ${JSON.stringify(states[i])}`).join('\n')
        throw new Error(`tokens ${wrong.join()} did not settle within ${timeoutMs} ms\n${shown}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Waits until more writes were acknowledged than there had been. */
  async goesOn(before: number, timeoutMs = 10_000): Promise<void> {
    const until = performance.now() + timeoutMs
    while (this.acked.size <= before) {
      if (performance.now() > until) throw new Error(`no write was acknowledged for ${timeoutMs} ms`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  worker(id: string): Worker {
    const worker = this.workers.get(id)
    if (worker === undefined) throw new Error(`there is no node ${id}`)
    return worker
  }

  /** Where each token is served, by what these nodes say of themselves. */
  async places(workers: readonly Worker[] = this.alive): Promise<Map<string, Place>> {
    const places = new Map<string, Place>()
    for (const worker of workers) {
      const { copies } = await worker.ask<Status>('status')
      for (const [token, { role, epoch }] of Object.entries(copies)) {
        if (role === 'primary') places.set(token, { primary: worker.id, epoch })
      }
    }
    return places
  }

  /** Waits until the tokens are settled, and no copy or primary has moved for a second: nothing is being evened out. */
  async atRest(): Promise<void> {
    let seen = ''
    let sinceMs = performance.now()
    await this.eventually(async () => {
      await this.settled()
      const now = JSON.stringify(await Promise.all(this.alive.map(async (worker) => [worker.id, await layout(worker)])))
      if (now !== seen) sinceMs = performance.now()
      seen = now
      return performance.now() - sinceMs > 1_000
    }, 'the copies come to rest')
  }

  /** How many acknowledged entries of a token were written by a node, or by all others. */
  ackedBy(token: string, { id }: Worker, others = false): number {
    let count = 0
    for (const entry of this.acked) {
      const [of, writer] = entry.split('/')
      if (of === token && (writer === id) !== others) count += 1
    }
    return count
  }

  /** Waits until a condition holds that the nodes bring about. */
  async eventually(condition: () => boolean | Promise<boolean>, what: string, timeoutMs = 30_000): Promise<void> {
    const until = performance.now() + timeoutMs
    while (!(await condition())) {
      if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Every copy of every token, after a sync, against what the writers were told. */
  async verdict(): Promise<{
    entries: number
    acknowledged: number
    lost: string[]
    twice: number
    rejectedButApplied: string[]
    outOfTerm: string[]
    diverged: string[]
  }> {
    await Promise.all(this.alive.map((worker) => worker.ask('pause')))
    await this.atRest()
    const verdict = {
      entries: 0,
      acknowledged: this.acked.size,
      lost: [] as string[],
      twice: 0,
      rejectedButApplied: [] as string[],
      outOfTerm: [] as string[],
      diverged: [] as string[],
    }
    for (const token of this.tokens) {
      const holders: Worker[] = []
      for (const worker of this.alive)
        if ((await worker.ask<Status>('status')).copies[token] !== undefined) holders.push(worker)
      const ledgers = await Promise.all(
        holders.map((worker) => worker.ask<{ ids: string[]; twice: number }>('ledger', { token })),
      )
      const [first, ...others] = ledgers
      if (first === undefined || others.length === 0) throw new Error(`token ${token} has ${ledgers.length} copies`)
      for (const other of others)
        if (JSON.stringify(other.ids) !== JSON.stringify(first.ids)) verdict.diverged.push(token)
      const applied = new Set(first.ids)
      verdict.entries += first.ids.length
      verdict.twice += Math.max(...ledgers.map((ledger) => ledger.twice)) + first.ids.length - applied.size
      verdict.outOfTerm.push(...outOfTerm(first.ids))
      for (const entry of this.acked) if (entry.startsWith(`${token}/`) && !applied.has(entry)) verdict.lost.push(entry)
      for (const entry of this.rejected)
        if (entry.startsWith(`${token}/`) && applied.has(entry)) verdict.rejectedButApplied.push(entry)
    }
    return verdict
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.workers.values()].map((worker) => worker.kill()))
    await rm(this.#dir, { recursive: true, force: true })
  }
}

export class Worker {
  readonly id: string
  readonly child: ChildProcess
  readonly exited: Promise<void>
  readonly readyOrDead: Promise<void>
  /** What it said it was doing when it killed itself. */
  dying: string | undefined
  alive = true
  #number = 0
  readonly #answers = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  #stderr = ''

  constructor(id: string, child: ChildProcess, onOutcomes: (acked: string[], rejected: string[]) => void) {
    this.id = id
    this.child = child
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-4000)
      this.dying = /DIES (.*)\n/.exec(this.#stderr)?.[1] ?? this.dying
      if (process.env['KAGAMI_TEST_LOG']) process.stderr.write(chunk)
    })
    this.exited = new Promise((resolve) => {
      // 'close' comes after the last output, so `dying` is known.
      child.once('close', () => {
        this.alive = false
        for (const { reject } of this.#answers.values()) reject(new Error(`worker ${id} is gone`))
        resolve()
      })
    })
    const ready = new Promise<void>((resolve) => {
      child.on(
        'message',
        (message: {
          type: string
          number: number
          value: unknown
          error?: string
          acked: string[]
          rejected: string[]
        }) => {
          if (message.type === 'ready') resolve()
          if (message.type === 'outcomes') onOutcomes(message.acked, message.rejected)
          if (message.type !== 'answer') return
          const answer = this.#answers.get(message.number)
          this.#answers.delete(message.number)
          if (message.error === undefined) answer?.resolve(message.value)
          else answer?.reject(new Error(`worker ${id}: ${message.error}`))
        },
      )
    })
    this.readyOrDead = Promise.race([
      ready,
      this.exited.then(() => {
        if (this.dying === undefined && child.signalCode !== 'SIGKILL')
          throw new Error(`worker ${id} ended by itself:\n${this.#stderr}`)
      }),
    ])
  }

  ask<T>(command: string, rest: object = {}): Promise<T> {
    const number = ++this.#number
    return new Promise<T>((resolve, reject) => {
      if (!this.alive) return reject(new Error(`worker ${this.id} is gone`))
      this.#answers.set(number, { resolve: resolve, reject })
      this.child.send({ number, command, ...rest }, (error) => {
        if (error !== null) reject(error)
      })
    })
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }
}

/** The entries that come after one of a later epoch: their author was deposed when they were applied. */
function outOfTerm(entries: readonly string[]): string[] {
  let newest = 0
  return entries.filter((entry) => {
    const epoch = Number(entry.split('/')[3])
    newest = Math.max(newest, epoch)
    return !(epoch >= newest)
  })
}

/** The copies of a node, with role and epoch. */
async function layout(worker: Worker): Promise<unknown[]> {
  const { copies } = await worker.ask<Status>('status')
  return Object.entries(copies).map(([token, { role, epoch }]) => [token, role, epoch])
}
