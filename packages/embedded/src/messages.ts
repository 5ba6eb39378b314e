/** The bytes that processes send each other. Whatever is not understood ends the connection, never the process. */
import { identityFrom } from './process-identity.js'
import type { ProcessIdentity } from './process-identity.js'

export type Message =
  | { readonly kind: 'hello'; readonly id: string; readonly process: ProcessIdentity }
  /** A log has grown: everything below `end` is synced. Or it was truncated, or begins a new file: `end` is what it was. */
  | { readonly kind: 'log'; readonly address: string; readonly identity: string; readonly end: number }
  /** It was written; or `damaged`: it was found so, and whoever has seen it whole may write it anew. */
  | { readonly kind: 'documents'; readonly name: string; readonly damaged?: true }
  | { readonly kind: 'offices' }
  | { readonly kind: 'sessions' }

/** Longer is no message of ours. */
const maxMessageBytes = 4096

/** length 2 · JSON. Small and rare enough: one for each log that grew, at most once per turn of the event loop. */
export function writeMessage(message: Message): Buffer {
  const text = Buffer.from(JSON.stringify(message))
  const bytes = Buffer.allocUnsafe(2 + text.byteLength)
  bytes.writeUInt16LE(text.byteLength)
  bytes.set(text, 2)
  return bytes
}

/** The whole messages in `bytes`, and what is left of them; undefined where they are no messages. */
export function readMessages(bytes: Buffer): { readonly messages: Message[]; readonly rest: Buffer } | undefined {
  const messages: Message[] = []
  let at = 0
  while (bytes.byteLength - at >= 2) {
    const length = bytes.readUInt16LE(at)
    if (length > maxMessageBytes) return undefined
    if (bytes.byteLength - at < 2 + length) break
    const message = messageFrom(bytes.toString('utf8', at + 2, at + 2 + length))
    if (message === undefined) return undefined
    messages.push(message)
    at += 2 + length
  }
  return { messages, rest: at === 0 ? bytes : Buffer.from(bytes.subarray(at)) }
}

function messageFrom(text: string): Message | undefined {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('kind' in value)) return undefined
  const message = value as Partial<Record<string, unknown>>
  switch (message['kind']) {
    case 'documents': {
      const { name, damaged } = message
      if (typeof name !== 'string') return undefined
      return damaged === true ? { kind: 'documents', name, damaged } : { kind: 'documents', name }
    }
    case 'offices':
    case 'sessions':
      return { kind: message['kind'] }
    case 'hello': {
      const process = identityFrom(message['process'])
      if (process === undefined || typeof message['id'] !== 'string') return undefined
      return { kind: 'hello', id: message['id'], process }
    }
    case 'log': {
      const { address, identity, end } = message
      if (typeof address !== 'string' || typeof identity !== 'string' || !Number.isSafeInteger(end)) return undefined
      return { kind: 'log', address, identity, end: end as number }
    }
    default:
      return undefined
  }
}
