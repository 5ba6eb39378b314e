/**
 * The hash behind every tie-break: of strings and pairs, in 32-bit integers, the same on every machine and locale.
 * Nothing here guards against strings that were chosen to collide; a collision only makes a tie-break less random.
 */

/** FNV-1a over UTF-16 code units, then mixed. */
export function hashString(text: string, seed: number): number {
  let hash = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193)
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193)
  }
  return mix(hash)
}

/** The rendezvous score of a pair: unrelated to the scores of other pairs, so that ties fall evenly. */
export function score(tokenHash: number, nodeHash: number): number {
  return mix(Math.imul(tokenHash, 0x9e3779b1) ^ nodeHash)
}

/** Spreads every input bit over the whole word (the finalizer of MurmurHash3). */
function mix(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
