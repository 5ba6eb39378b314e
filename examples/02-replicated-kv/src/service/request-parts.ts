/** Takes the parts of an HTTP request apart and refuses what is wrong with them. */
import type { Context } from 'hono'
import type { ScanRange } from '../state/kv-machine.js'
import type { Condition, RequestId } from '../state/command.js'
import { Refusal } from './answers.js'

const MAX_KEY_CHARACTERS = 512
const MAX_SCAN = 1000
const DEFAULT_SCAN = 100

export function keyOf(c: Context): string {
  if (!isEncoded(new URL(c.req.url).pathname)) {
    throw new Refusal(400, 'KV_BAD_KEY', 'a key is UTF-8, percent-encoded where a path needs it; this one is not')
  }
  const key = c.req.param('key') ?? ''
  if (key === '' || key.length > MAX_KEY_CHARACTERS) {
    throw new Refusal(400, 'KV_BAD_KEY', `a key has 1 to ${MAX_KEY_CHARACTERS} characters; this one has ${key.length}`)
  }
  return key
}

function isEncoded(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}

/** `Request-Id: <client>:<number>`. */
export function requestIdOf(c: Context): RequestId | undefined {
  const text = c.req.header('request-id')
  if (text === undefined) return undefined
  const match = /^([\w.-]{1,64}):([1-9]\d{0,14})$/.exec(text)
  if (match?.[1] === undefined) {
    const expected =
      '<client>:<number>, a name of up to 64 letters, digits, _ . - and a number from 1, of up to 15 digits, that grows with each write'
    throw new Refusal(400, 'KV_BAD_REQUEST_ID', `Request-Id is "${text}"; expected ${expected}`)
  }
  return { client: match[1], number: Number(match[2]) }
}

/** `If-None-Match: *`, `If-Match: *` or `If-Match: "<version>"`. */
export function conditionOf(c: Context): Condition {
  const [match, noneMatch] = [c.req.header('if-match'), c.req.header('if-none-match')]
  if (match === undefined && noneMatch === undefined) return { is: 'any' }
  if (match === undefined && noneMatch === '*') return { is: 'absent' }
  if (noneMatch === undefined && match === '*') return { is: 'present' }
  const version = noneMatch === undefined ? /^"(\d{1,15}\.\d{1,15})"$/.exec(match ?? '')?.[1] : undefined
  if (version !== undefined) return { is: 'version', version }
  const given = `If-Match ${match ?? '-'}, If-None-Match ${noneMatch ?? '-'}`
  throw new Refusal(400, 'KV_BAD_CONDITION', `${given}; expected If-Match: "<etag>", If-Match: * or If-None-Match: *`)
}

export function rangeOf(c: Context): ScanRange {
  const limit = c.req.query('limit') ?? String(DEFAULT_SCAN)
  if (!/^\d{1,4}$/.test(limit) || Number(limit) < 1 || Number(limit) > MAX_SCAN) {
    throw new Refusal(400, 'KV_BAD_LIMIT', `limit is "${limit}"; expected 1 to ${MAX_SCAN}`)
  }
  return { from: c.req.query('from') ?? '', to: c.req.query('to'), limit: Number(limit) }
}
