/**
 * Carries a write out: on this node where it is the primary, else on the node that is. It tries again only what is known to have
 * had no effect; everything else is the client's to retry, with the same request id.
 */
import { isKagamiError, type Kagami } from 'kagami'
import type { Command, Outcome } from '../state/command.js'
import { Refusal, refusalOf, type Applied } from './answers.js'
import type { Changes } from './changes.js'
import type { Peer, Peers } from './peers.js'
import { NoAnswer, type Incoming, type Outgoing } from './sender.js'

/** Done here, or answered by another node. */
export type WriteAnswer = { readonly outcome: Outcome } | { readonly passedOn: Incoming }

export interface WriteRequest {
  readonly token: string
  readonly command: Command
  /** The request as it came, to send it on. */
  readonly path: string
  readonly outgoing: Outgoing
  /** It has been sent on once already. */
  readonly forwarded: boolean
}

export class Writes {
  readonly #kagami: Kagami<Outcome, Command>
  readonly #peers: Peers
  readonly #changes: Changes

  constructor(kagami: Kagami<Outcome, Command>, peers: Peers, changes: Changes) {
    this.#kagami = kagami
    this.#peers = peers
    this.#changes = changes
  }

  /** @throws Refusal */
  async write(request: WriteRequest): Promise<WriteAnswer> {
    const { signal } = request.outgoing
    try {
      for (;;) {
        const answer = await this.#attempt(request, signal)
        if (answer !== undefined) return answer
        await this.#changes.next(signal)
      }
    } catch (error) {
      throw refusalOf(error, signal)
    }
  }

  /** Undefined: it had no effect, and is worth another try once something has changed. */
  async #attempt(request: WriteRequest, signal: AbortSignal): Promise<WriteAnswer | undefined> {
    const { token: name, command, forwarded } = request
    const token = this.#kagami.get(name)
    if (token?.role === 'primary') {
      try {
        const { result } = await token.replicate(command, { signal })
        return { outcome: result }
      } catch (error) {
        if (isKagamiError(error, 'KAGAMI_NOT_PRIMARY')) return undefined
        throw error
      }
    }
    const peer = this.#peers.primaryOf(name)
    if (peer === undefined) return undefined
    // Whoever sent it here knows less than this node, or more: it must look again, or two nodes would send it to and fro.
    if (forwarded) throw new Refusal(503, 'KAGAMI_NOT_PRIMARY', `the primary of ${name} is on node ${peer.id}`)
    return this.#sendOn(peer, request)
  }

  async #sendOn(peer: Peer, { path, outgoing }: WriteRequest): Promise<WriteAnswer | undefined> {
    try {
      const passedOn = await peer.send(path, outgoing)
      return passedOn.status === 503 && appliedOf(passedOn) === 'no' ? undefined : { passedOn }
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error
      if (!error.sent) return undefined
      const message = `node ${peer.id} gave no answer; whether the write took effect is unknown`
      throw new Refusal(504, 'KAGAMI_INDETERMINATE', message, 'unknown')
    }
  }
}

/** What a node's refusal says of the write's effect. */
export function appliedOf({ body }: Incoming): Applied {
  try {
    const { applied } = JSON.parse(body.toString('utf8')) as { readonly applied?: unknown }
    return applied === 'no' || applied === 'yes' ? applied : 'unknown'
  } catch {
    return 'unknown'
  }
}
