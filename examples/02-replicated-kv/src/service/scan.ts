/** A scan: a range of keys over all tokens, put together in the order of keys from this node's copies and those of others. */
import type { ScanRange } from '../state/kv-machine.js'
import { Refusal } from './answers.js'
import type { Freshness } from './freshness.js'
import type { Reads } from './reads.js'

export interface ScanItem {
  readonly key: string
  readonly version: string
  /** The value where it is text, */
  readonly value?: string
  /** else its bytes. */
  readonly base64?: string
}

export interface ScanRequest {
  readonly tokens: readonly string[]
  readonly range: ScanRange
  readonly freshness: Freshness
  /** What another node is asked for, for the tokens of which this one has no copy. */
  readonly pathFor: (token: string) => string
  readonly forwarded: boolean
  readonly signal: AbortSignal
}

/** Each token is as new as was asked for; the tokens together are no snapshot of one moment. */
export async function scan(reads: Reads, request: ScanRequest): Promise<readonly ScanItem[]> {
  const { tokens, range, freshness, pathFor, forwarded, signal } = request
  const parts = await Promise.all(
    tokens.map(async (token) => {
      const answer = await reads.read({ token, freshness, path: pathFor(token), forwarded, signal })
      if ('machine' in answer) {
        return answer.machine.scan(range).map(([key, { version, value }]) => itemOf(key, version, value))
      }
      const { status, body } = answer.passedOn
      if (status !== 200) throw new Refusal(503, 'KV_SCAN_FAILED', `node ${answer.by} answered ${status} for ${token}`)
      return (JSON.parse(body.toString('utf8')) as { readonly items: readonly ScanItem[] }).items
    }),
  )
  const items = parts.flat().sort((a, b) => (a.key < b.key ? -1 : 1))
  return items.slice(0, range.limit)
}

function itemOf(key: string, version: string, value: Uint8Array): ScanItem {
  const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  const decoded = text.toString('utf8')
  return Buffer.from(decoded).equals(text)
    ? { key, version, value: decoded }
    : { key, version, base64: text.toString('base64') }
}
