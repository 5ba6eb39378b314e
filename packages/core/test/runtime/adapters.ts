/** Adapters that a test can watch, hold up and silence, and a logger that keeps what it is told. */
import { expect } from 'vitest'
import type { Adapter, Coordinator } from '../../src/contract/index.js'
import type { Kagami, Logger } from '../../src/index.js'
import { bytes, delegate, type TestCluster } from './harness.js'

export type Kind = 'coordinator' | 'log' | 'snapshots'
export const kinds: readonly Kind[] = ['coordinator', 'log', 'snapshots']

/** What is done instead of a method of an adapter. */
export interface Instead {
  readonly start?: (signal: AbortSignal) => Promise<void>
  readonly connect?: (signal: AbortSignal) => Promise<never>
  readonly stop?: () => Promise<void>
}

/** A node whose adapters note in `calls` how they are started and stopped. */
export function noted(
  cluster: TestCluster,
  instead: Partial<Record<Kind, Instead>> = {},
  logger?: Logger,
): { readonly node: Kagami<number>; readonly calls: string[] } {
  const { world } = cluster
  const calls: string[] = []
  const note = <T extends Adapter>(kind: Kind, adapter: T): T => {
    const { start, stop } = instead[kind] ?? {}
    return delegate<Adapter>(adapter, {
      start: async (context: Parameters<Adapter['start']>[0]) => {
        await (start?.(context.signal) ?? adapter.start(context))
        calls.push(`started ${kind}`)
      },
      stop: async () => {
        calls.push(`stop ${kind}`)
        await (stop?.() ?? adapter.stop())
      },
    }) as T
  }
  const coordinator = world.coordinator({ sessionTimeoutMs: 500 })
  const { connect } = instead.coordinator ?? {}
  const refusing = delegate<Coordinator>(coordinator, {
    connect: (options: Parameters<Coordinator['connect']>[0]) =>
      connect?.(options.signal) ?? coordinator.connect(options),
  })
  const node = cluster.make('a', {
    coordinator: note('coordinator', refusing),
    log: note('log', world.commitLog()),
    snapshots: note('snapshots', world.snapshotStore()),
    ...(logger === undefined ? {} : { seams: { logger } }),
  })
  return { node, calls }
}

/** Of the adapters that were started, those that were stopped, in the order in which they were. */
export function stopped(calls: readonly string[]): readonly string[] {
  const order = new Set(calls.filter((call) => call.startsWith('stop ')).map((call) => call.slice('stop '.length)))
  return [...order].filter((kind) => calls.includes(`started ${kind}`))
}

/** Nothing of the node is left in the cluster: another one of its id starts and works at once. */
export async function isGone(cluster: TestCluster): Promise<void> {
  const again = await cluster.start('a')
  expect(again.members().map(({ id }) => id)).toEqual(['a'])
  const orders = await again.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(bytes('works'))
}

/** A logger that keeps what it is told. */
export function keeping(): { readonly logger: Logger; readonly messages: string[]; readonly errors: unknown[] } {
  const messages: string[] = []
  const errors: unknown[] = []
  const keep = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
    messages.push(message)
    errors.push(fields?.['error'])
  }
  const quiet = (): void => undefined
  return { logger: { debug: quiet, info: quiet, warn: keep, error: keep }, messages, errors }
}

export const untilAborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
export const forever = (): Promise<never> => new Promise(() => undefined)

/** Something that answers nothing any more once `silenced` says so, and no signal either. What it has given before falls silent with it. */
export function silenceable<T extends object>(target: T, silenced: () => boolean): T {
  const wrap = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || value instanceof AbortSignal) return value
    if (ArrayBuffer.isView(value) || Array.isArray(value) || value instanceof Map) return value
    return value instanceof Promise ? later(value) : silenceable(value, silenced)
  }
  const later = async (value: Promise<unknown>): Promise<unknown> => {
    const outcome = await value
    return silenced() ? forever() : wrap(outcome)
  }
  return new Proxy(target, {
    get(_, key) {
      const value = Reflect.get(target, key) as unknown
      if (typeof value !== 'function') return wrap(value)
      return (...args: unknown[]) => {
        const streams = key === 'read' || key === 'open' || String(key).startsWith('watch')
        // A stream begins when it is asked for the first time.
        if (silenced() && !streams) return forever()
        return wrap(value.apply(target, args))
      }
    },
  })
}
