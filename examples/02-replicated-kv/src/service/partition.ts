/** Which token a key belongs to. Every node and every version must agree on it, so it never changes. */
import { crc32 } from 'node:zlib'

/** `kv-00`, `kv-01`, … */
export function tokenNames(count: number): readonly string[] {
  const digits = Math.max(2, String(count - 1).length)
  return Array.from({ length: count }, (_, i) => `kv-${String(i).padStart(digits, '0')}`)
}

export function tokenOf(key: string, tokens: readonly string[]): string {
  const token = tokens[crc32(key) % tokens.length]
  if (token === undefined) throw new RangeError('a key-value service needs at least one token')
  return token
}
