/** Start and stop of an adapter, in whatever order they are called. Knows nothing of what is started. */
import { listenForAbort, orAborted } from '@kagami/core/contract'
import type { AdapterContext } from '@kagami/core/contract'
import { stopped } from './errors.js'
import { UnderWay } from './under-way.js'

/** How long `stop` waits for what a hanging disk holds up. */
const deadlineMs = 5_000

export class AdapterLife<T> {
  readonly #name: string
  readonly #open: (context: AdapterContext) => Promise<T>
  readonly #close: (opened: T) => Promise<void>
  readonly #end = new AbortController()
  readonly #underWay = new UnderWay()
  #opening: Promise<T> | undefined
  #opened: T | undefined
  #stopping: Promise<void> | undefined

  constructor(name: string, open: (context: AdapterContext) => Promise<T>, close: (opened: T) => Promise<void>) {
    this.#name = name
    this.#open = open
    this.#close = close
  }

  /** @throws KAGAMI_STOPPED before `start` and after `stop` */
  get opened(): T {
    if (this.#opened === undefined || this.#end.signal.aborted) throw stopped(this.#name)
    return this.#opened
  }

  /** Aborts when the adapter is stopped. */
  get signal(): AbortSignal {
    return this.#end.signal
  }

  async start(context: AdapterContext): Promise<void> {
    context.signal.throwIfAborted()
    if (this.#end.signal.aborted || this.#opening !== undefined) throw stopped(this.#name)
    const opening = this.#open(context)
    this.#opening = opening
    try {
      this.#opened = await orAborted(orAborted(opening, context.signal), this.#end.signal)
    } catch (error) {
      // Undone in the background where it hangs, and before this rejects where it doesn't.
      await this.stop()
      throw error
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    this.#end.abort(stopped(this.#name))
    if (this.#opening === undefined) return
    const closed = this.#opening.then(
      async (opened) => {
        // A call that was given up may still be making what has to be closed.
        await this.#underWay.settled()
        await this.#close(opened)
      },
      () => undefined,
    )
    const late = new AbortController()
    const timer = setTimeout(() => late.abort(), deadlineMs)
    await orAborted(closed, late.signal).catch(() => undefined)
    clearTimeout(timer)
  }

  /** Runs a call of the adapter: it ends when its signal aborts, or the adapter is stopped. */
  call<R>(signal: AbortSignal, task: (opened: T) => Promise<R>): Promise<R> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      orAborted(orAborted(this.#begin(task), signal), this.#end.signal).then(resolve, reject)
    })
  }

  #begin<R>(task: (opened: T) => Promise<R>): Promise<R> {
    const { opened } = this
    return this.#underWay.begin(() => task(opened))
  }

  /** Runs a callback when the adapter is stopped. */
  onStop(callback: () => void): void {
    listenForAbort(this.#end.signal, callback)
  }
}
