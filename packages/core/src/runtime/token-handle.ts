/** A token as the application holds it: a thin view of whatever copy this node has at the moment. */
import { types } from 'node:util'
import { isKagamiError, KagamiError, type Codec, type Position, type StateMachine } from '../contract/index.js'
import type { Lag, NodeRef, Replicated, Role, Token } from './api.js'
import { noCopy, notPrimary, unknownToken } from './copy-errors.js'
import type { Copy } from './copy.js'
import { checkPosition, signalOnly } from './method-options.js'

export interface HandleContext<R, C> {
  readonly codec: Codec<C>
  maxEntryBytes(): number
  copy(token: string): Copy<R, C> | undefined
  /** The node that is known to be the primary, where it is another one. */
  primaryElsewhere(token: string): NodeRef | undefined
  /** Why this node takes no writes now: it is not started, stopping or stopped. */
  unusable(): KagamiError | undefined
  /** Why nothing can be read on this node any more: its copies are closed. */
  unreadable(): KagamiError | undefined
  /** Whether the token was removed. */
  removed(token: string): boolean
}

export function tokenHandle<R, C>(name: string, context: HandleContext<R, C>): Token<R, C> {
  return new Handle(name, context)
}

const NO_LAG: Lag = { entries: Infinity, caughtUp: false, timeMs: 0, lookAgeMs: Infinity }

class Handle<R, C> implements Token<R, C> {
  readonly name: string
  readonly #context: HandleContext<R, C>

  constructor(name: string, context: HandleContext<R, C>) {
    this.name = name
    this.#context = context
  }

  get role(): Role {
    return this.#context.copy(this.name)?.role ?? 'none'
  }

  get epoch(): number {
    return this.#context.copy(this.name)?.epoch ?? 0
  }

  get next(): Position | undefined {
    return this.#context.copy(this.name)?.next
  }

  get lag(): Lag {
    return this.#context.copy(this.name)?.lag ?? NO_LAG
  }

  get state(): StateMachine<R, C> {
    return this.#readable().machine
  }

  async replicate(value: C, options?: { readonly signal?: AbortSignal }): Promise<Replicated<R>> {
    const signal = signalOnly(options)
    const unusable = this.#context.unusable()
    if (unusable !== undefined) throw unusable
    const bytes = this.#encode(value)
    const limit = this.#context.maxEntryBytes()
    if (bytes.length > limit) throw tooLarge(this.name, bytes.length, limit)
    if (this.#context.removed(this.name)) throw unknownToken(this.name)
    const copy = this.#context.copy(this.name)
    if (copy === undefined)
      throw notPrimary(this.name, 'this node holds no copy', this.#context.primaryElsewhere(this.name))
    return copy.replicate(bytes, signal)
  }

  async waitFor(position: Position, options?: { readonly signal?: AbortSignal }): Promise<void> {
    const signal = signalOnly(options)
    return this.#readable().waitFor(checkPosition(position), signal)
  }

  async sync(options?: { readonly signal?: AbortSignal }): Promise<void> {
    const signal = signalOnly(options)
    return this.#readable().sync(signal)
  }

  #encode(value: C): Uint8Array {
    let bytes: unknown
    try {
      bytes = this.#context.codec.encode(value)
    } catch (cause) {
      if (isKagamiError(cause)) throw cause
      throw encodingFailed(this.name, 'the codec threw', cause)
    }
    // By what it is, since it may come from another realm. Anything else would fail where nobody could be told.
    if (types.isUint8Array(bytes)) return bytes
    if (types.isPromise(bytes)) bytes.catch(() => undefined)
    throw encodingFailed(this.name, 'the codec did not give a Uint8Array', undefined)
  }

  #readable(): Copy<R, C> {
    const unreadable = this.#context.unreadable()
    if (unreadable !== undefined) throw unreadable
    const copy = this.#context.copy(this.name)
    if (copy === undefined) throw this.#context.removed(this.name) ? unknownToken(this.name) : noCopy(this.name)
    return copy
  }
}

function encodingFailed(token: string, why: string, cause: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_ENCODING_FAILED',
    `a value for '${token}' could not be encoded: ${why}. Mend the codec that was passed to createKagami, or the value`,
    { cause, details: { token } },
  )
}

function tooLarge(token: string, bytes: number, limit: number): KagamiError {
  return new KagamiError(
    'KAGAMI_ENTRY_TOO_LARGE',
    `an entry of ${bytes} bytes is too large for '${token}'; the limit is ${limit}. Split it, or raise limits.maxEntryBytes as far as the log allows`,
    {
      details: { token, bytes, limit },
    },
  )
}
