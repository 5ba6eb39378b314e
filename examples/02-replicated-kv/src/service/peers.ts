/** The other nodes, as this one reaches them: by the address that each announces. A request is sent on once, never further. */
import type { JsonValue, Kagami, NodeRef } from 'kagami'
import type { Command, Outcome } from '../state/command.js'
import type { Incoming, Outgoing, Sender } from './sender.js'

/** Marks a request that another node has sent on. */
export const FORWARDED = 'kv-forwarded-by'

export interface Peers {
  readonly self: string
  /** The token's primary, where it is another node. */
  primaryOf(token: string): Peer | undefined
  /** The other nodes that hold a copy, the primary first. */
  holdersOf(token: string): readonly Peer[]
}

export interface Peer {
  readonly id: string
  send(path: string, outgoing: Outgoing): Promise<Incoming>
}

export function peersOf(kagami: Kagami<Outcome, Command>, self: string, sender: Sender): Peers {
  const peer = (node: NodeRef | undefined): Peer | undefined => {
    const url = node === undefined ? undefined : urlOf(node.meta)
    if (node === undefined || url === undefined || node.id === self) return undefined
    return {
      id: node.id,
      send: (path, outgoing) =>
        sender.send(url + path, { ...outgoing, headers: { ...outgoing.headers, [FORWARDED]: self } }),
    }
  }
  return {
    self,
    primaryOf: (token) => peer(kagami.locate(token)?.primary),
    holdersOf(token) {
      const location = kagami.locate(token)
      return [location?.primary, ...(location?.replicas ?? [])].map(peer).filter((found) => found !== undefined)
    },
  }
}

/** A node that has just gone is located without its address. */
function urlOf(meta: JsonValue): string | undefined {
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) return undefined
  const { url } = meta as { readonly url?: JsonValue }
  return typeof url === 'string' ? url : undefined
}
