/** Nodes that keep some of their callers waiting: what the checks of liveness must notice. */
import { createKagami, type Kagami } from '@kagami/core'
import type { NodeFactory } from '../src/index.js'

export interface Late {
  readonly call: 'start' | 'sync' | 'token' | 'alter' | 'handover' | 'remove'
  /** How much later it settles than it could. */
  readonly byMs: number
  /** Only calls that are made so long after the node was made, in virtual milliseconds. @default 0 to Infinity */
  readonly fromMs?: number
  readonly toMs?: number
}

export function lateNodes({ call, byMs, fromMs = 0, toMs = Infinity }: Late): NodeFactory {
  return (options) => {
    const { clock } = options.seams!
    const madeMs = clock!.monotonicMs()
    const late = async <T>(answer: Promise<T>): Promise<T> => {
      answer.catch(() => undefined)
      const ageMs = clock!.monotonicMs() - madeMs
      if (ageMs >= fromMs && ageMs < toMs) await new Promise<void>((resolve) => clock!.timer(byMs, resolve))
      return answer
    }
    const node = createKagami<number>(options)
    const get: Kagami<number>['get'] = (name) => {
      const handle = node.get(name)
      return handle && call === 'sync' ? standIn(handle, { sync: (asked) => late(handle.sync(asked)) }) : handle
    }
    const method = node[call === 'sync' ? 'start' : call] as (...given: unknown[]) => Promise<unknown>
    const own = call === 'sync' ? {} : { [call]: (...given: unknown[]) => late(method.apply(node, given)) }
    return standIn(node, { get, ...own })
  }
}

/** The same object with some methods of its own. */
function standIn<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(_, key) {
      if (key in own) return own[key as keyof T]
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
