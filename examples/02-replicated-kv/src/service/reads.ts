/** Answers reads: from this node's copy where it has one, else by another node that does. Never changes anything. */
import type { Kagami, Token } from 'kagami'
import type { Command, Outcome } from '../state/command.js'
import { KvMachine } from '../state/kv-machine.js'
import { Refusal, refusalOf } from './answers.js'
import type { Changes } from './changes.js'
import { waitUntil, type Freshness } from './freshness.js'
import type { Peers } from './peers.js'
import { NoAnswer, type Incoming } from './sender.js'

export interface ReadRequest {
  readonly token: string
  readonly freshness: Freshness
  /** What another node is asked for, where this one has no copy. */
  readonly path: string
  readonly forwarded: boolean
  readonly signal: AbortSignal
}

export type KvToken = Token<Outcome, Command>

/** A copy of this node that is new enough, or another node's answer. */
export type ReadAnswer =
  { readonly token: KvToken; readonly machine: KvMachine } | { readonly passedOn: Incoming; readonly by: string }

export class Reads {
  readonly #kagami: Kagami<Outcome, Command>
  readonly #peers: Peers
  readonly #changes: Changes

  constructor(kagami: Kagami<Outcome, Command>, peers: Peers, changes: Changes) {
    this.#kagami = kagami
    this.#peers = peers
    this.#changes = changes
  }

  /** @throws Refusal */
  async read(request: ReadRequest): Promise<ReadAnswer> {
    const { signal, forwarded, token: name } = request
    try {
      for (;;) {
        const here = await this.#here(request)
        if (here !== undefined) return here
        if (forwarded) throw new Refusal(503, 'KAGAMI_NO_COPY', `node ${this.#peers.self} holds no copy of ${name}`)
        const there = await this.#elsewhere(request)
        if (there !== undefined) return there
        await this.#changes.next(signal)
      }
    } catch (error) {
      throw refusalOf(error, signal)
    }
  }

  async #here({ token: name, freshness, signal }: ReadRequest): Promise<ReadAnswer | undefined> {
    const token = this.#kagami.get(name)
    if (token === undefined || !readable(token)) return undefined
    try {
      await waitUntil(token, freshness, signal)
      const { state } = token
      return state instanceof KvMachine ? { token, machine: state } : undefined
    } catch (error) {
      // The copy was dropped, or failed, while the read waited for it.
      if (!signal.aborted && !readable(token)) return undefined
      throw error
    }
  }

  async #elsewhere({ token, path, signal }: ReadRequest): Promise<ReadAnswer | undefined> {
    for (const peer of this.#peers.holdersOf(token)) {
      try {
        const passedOn = await peer.send(path, { method: 'GET', signal })
        if (passedOn.status !== 503) return { passedOn, by: peer.id }
      } catch (error) {
        if (!(error instanceof NoAnswer) || signal.aborted) throw error
      }
    }
    return undefined
  }
}

/** Whether this node's copy can be read; one that is still being restored has no position. */
function readable(token: KvToken): boolean {
  return token.role !== 'none' && token.role !== 'failed' && token.next !== undefined
}
