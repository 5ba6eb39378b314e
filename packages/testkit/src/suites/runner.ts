/**
 * How a suite meets a test runner and what each case gets: a fresh world, a signal, and an end that cleans up whatever
 * the case left open. Knows no contract and no particular runner.
 */
import assert from 'node:assert/strict'
import { setMaxListeners } from 'node:events'
import type { Adapter, CallOptions, Logger } from '@kagami/core/contract'

/** What a suite needs of a test runner: `describe` and `it` of vitest, node:test, Jest or Mocha. */
export interface SuiteRunner {
  /** Called once by a suite, with its title: `body` registers its cases. */
  describe(name: string, body: () => void): unknown
  /** Cases are independent of one another, so they may run in any order. */
  it(name: string, body: () => Promise<void>, timeoutMs?: number): unknown
}

/** How long a suite waits. */
export interface SuiteTiming {
  /** How long anything may take that should happen at once, in milliseconds. @default 5_000 */
  readonly patienceMs?: number
  /** How long something is watched that must not happen, in milliseconds. @default 150 */
  readonly quietMs?: number
  /** A case that takes longer fails, in milliseconds. @default 30_000 */
  readonly caseMs?: number
}

/** What every suite is told of its subject. `W` is what the cases work on. */
export interface SuiteSubject<W> {
  /** Called before each case: a world that holds nothing yet. */
  setup(): Promise<W> | W
  /** Called after each case, when all its adapters are stopped; also when it failed. */
  teardown?(world: W): Promise<void> | void
  /** How long the cases wait, and may take: slow servers need more. */
  readonly timing?: SuiteTiming
}

/** Ends a fault that a hook began. */
export type EndFault = () => Promise<void> | void

/** Which hook of the world stands for a capability. */
export type CapabilityHooks<C, W> = { readonly [K in keyof C]?: keyof W }

export type Case<W> = (name: string, body: (scope: Scope, world: W) => Promise<void>) => void

/** Registers a suite: the summary of what was declared, then whatever cases `declare` adds. */
export function suite<W extends object, C extends object>(
  runner: SuiteRunner,
  title: string,
  subject: SuiteSubject<W>,
  capabilities: C,
  hooks: CapabilityHooks<C, W>,
  declare: (test: Case<W>) => void,
): void {
  const caseMs = subject.timing?.caseMs ?? 30_000
  const test: Case<W> = (name, body) => {
    // The runner's own limit comes later, so that the message and the clean-up are ours.
    runner.it(name, () => runCase(name, body, subject, caseMs), caseMs + 15_000)
  }
  runner.describe(title, () => {
    test(`declares ${summary(capabilities)}`, async (_scope, world) => {
      for (const [capability, hook] of Object.entries(hooks) as [keyof C, keyof W][]) {
        const declared = capabilities[capability] === true
        assert.equal(
          typeof world[hook] === 'function',
          declared,
          `capability ${String(capability)} is ${declared ? '' : 'not '}declared, so setup() must ${declared ? '' : 'not '}give ${String(hook)}()`,
        )
      }
    })
    declare(test)
  })
}

function summary(capabilities: object): string {
  const parts = Object.entries(capabilities).map(([name, value]) => {
    return `${name}=${value === true ? 'yes' : value === false ? 'no' : String(value)}`
  })
  return parts.length === 0 ? 'no capabilities' : parts.join(', ')
}

async function runCase<W>(
  name: string,
  body: (scope: Scope, world: W) => Promise<void>,
  subject: SuiteSubject<W>,
  caseMs: number,
): Promise<void> {
  const world = await subject.setup()
  const scope = new Scope(subject.timing ?? {})
  const failures: unknown[] = []
  const attempt = (step: () => Promise<void> | void): Promise<void> =>
    Promise.resolve()
      .then(step)
      .catch((error: unknown) => {
        failures.push(error)
      })
  await attempt(() => scope.within(body(scope, world), `the case "${name}"`, caseMs))
  await attempt(() => scope.end())
  await attempt(() => subject.teardown?.(world))
  // The first failure is the case's own; what went wrong afterwards is most often its consequence.
  if (failures.length > 0) throw failures[0]
}

/** The life of one case. */
export class Scope {
  readonly patienceMs: number
  readonly quietMs: number
  /** What the adapters of this case have logged at `warn` and `error`. */
  readonly logged: string[] = []
  readonly #over = new AbortController()
  readonly #cleanups: (() => Promise<void> | void)[] = []

  constructor(timing: SuiteTiming) {
    this.patienceMs = timing.patienceMs ?? 5_000
    this.quietMs = timing.quietMs ?? 150
    // One signal ends everything that a case has under way, hundreds of calls in some.
    setMaxListeners(0, this.#over.signal)
  }

  /** Aborts when the case is over, so nothing that a case began outlives it. */
  get signal(): AbortSignal {
    return this.#over.signal
  }

  get options(): CallOptions {
    return { signal: this.signal }
  }

  /** Runs when the case is over, last in first out. */
  defer(cleanup: () => Promise<void> | void): void {
    this.#cleanups.push(cleanup)
  }

  /** A controller of the case's own, for the signal of one call. */
  controller(): AbortController {
    const controller = new AbortController()
    setMaxListeners(0, controller.signal)
    this.signal.addEventListener('abort', () => controller.abort(this.signal.reason), { once: true })
    return controller
  }

  context(node: string, cluster = 'conformance'): Parameters<Adapter['start']>[0] {
    return { cluster, node, logger: this.#logger(), signal: this.signal }
  }

  /** Starts an adapter that is stopped when the case is over. */
  async start<A extends Adapter>(adapter: A, node: string, cluster?: string): Promise<A> {
    this.defer(() => adapter.stop())
    await this.within(adapter.start(this.context(node, cluster)), `start() of node ${node}`)
    return adapter
  }

  /** Begins a fault and ends it when the case is over, at the latest. */
  async fault(begin: () => Promise<EndFault> | EndFault): Promise<EndFault> {
    const end = await begin()
    this.defer(end)
    return end
  }

  /**
   * For each round of a loop that the subject alone could keep going for ever without waiting: lets the timers of the limits fire, and
   * ends the loop with the case.
   */
  async turn(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.signal.throwIfAborted()
  }

  /** The promise, or a failure that names what took too long. */
  async within<T>(promise: Promise<T>, what: string, ms = this.patienceMs): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new assert.AssertionError({ message: `${what} took more than ${ms} ms` })), ms)
    })
    try {
      return await Promise.race([promise, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** A promise that the case awaits later, or never: when it rejects before, or the case fails before, that is no error of its own. */
  later<T>(promise: Promise<T>): Promise<T> {
    promise.catch(() => undefined)
    return promise
  }

  /** Fails if the promise resolves within the quiet time. A rejection is no resolution. */
  async staysPending(promise: Promise<unknown>, what: string): Promise<void> {
    const settled = promise.then(
      () => true,
      () => false,
    )
    const resolved = await Promise.race([settled, sleep(this.quietMs).then(() => false)])
    assert.equal(resolved, false, `${what} resolved, and should not have`)
  }

  async end(): Promise<void> {
    this.#over.abort(new Error('the case is over'))
    const errors: unknown[] = []
    for (const cleanup of this.#cleanups.reverse()) {
      try {
        await this.within(Promise.resolve(cleanup()), 'cleaning up after the case')
      } catch (error) {
        errors.push(error)
      }
    }
    if (errors.length > 0) throw errors[0]
  }

  #logger(): Logger {
    const keep = (message: string): void => {
      this.logged.push(message)
    }
    return { debug: () => undefined, info: () => undefined, warn: keep, error: keep }
  }
}

/** For what must not happen, and for load; never to wait for an event. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
