/**
 * The hash chain: a 64-bit digest of everything that an incarnation's log has counted so far. Two copies with equal chains
 * have counted the same; a frame whose chain differs from the reader's proves that they have not.
 */
import { createHash } from 'node:crypto'

/** The chain of an incarnation in which nothing but its open frame has counted. */
export function chainOfOpen(token: string, incarnation: number): bigint {
  return digest('open', token, String(incarnation))
}

/** The chain after a barrier that counted. */
export function chainAfterBarrier(chain: bigint, epoch: number, term: bigint): bigint {
  return digest('barrier', chain.toString(16), String(epoch), term.toString(16))
}

/** The chain after a data frame that counted. */
export function chainAfterData(chain: bigint, body: Uint8Array): bigint {
  const before = Buffer.allocUnsafe(8)
  before.writeBigUInt64BE(chain)
  return createHash('sha256').update(before).update(body).digest().readBigUInt64BE(0)
}

function digest(...parts: readonly string[]): bigint {
  return createHash('sha256').update(parts.join('\0')).digest().readBigUInt64BE(0)
}
