/**
 * File names for names that are not ours: tokens, clusters, documents. Injective also where the file system takes `a`
 * and `A` for the same, and never a path of more than one step.
 */
import { createHash } from 'node:crypto'

/** Document names: letters, digits, `-`, `_`, `.` and `/`. Undefined for any other, and for one that is too long. */
export function documentFile(name: string): string | undefined {
  if (!/^[A-Za-z0-9_./-]+$/.test(name)) return undefined
  const file = name.replace(/[A-Z/]/g, (letter) => (letter === '/' ? '+' : `=${letter.toLowerCase()}`))
  return file.length <= 230 ? file : undefined
}

export function documentName(file: string): string {
  return file.replace(/=([a-z])|\+/g, (found: string, letter: string | undefined) =>
    found === '+' ? '/' : letter!.toUpperCase(),
  )
}

/** What a document's name says up to its last `/`, with it. */
export function kindOf(document: string): string {
  return document.slice(0, document.lastIndexOf('/') + 1)
}

/** The folder of a kind of documents. Begins with a sign of its own, so that it is never `.` or `..`. */
export function kindFolder(kind: string): string {
  return kind === '' ? '@' : `@${documentFile(kind)!}`
}

/** Undefined for what is no folder of a kind. */
export function kindOfFolder(folder: string): string | undefined {
  return folder.startsWith('@') ? documentName(folder.slice(1)) : undefined
}

/** A readable beginning, for people who look into the folder, and a hash, which alone tells names apart. */
export function keyOf(name: string): string {
  const readable = name
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '_')
    .slice(0, 40)
  return `${readable}.${createHash('sha256').update(name).digest('hex').slice(0, 16)}`
}

const addressPattern = /^([a-z0-9_-]{0,40}\.([0-9a-f]{2})[0-9a-f]{14})\.(0|[1-9][0-9]{0,8})$/

/** The parts of a log's address; undefined for what no log here is called. */
export function partsOf(address: string): { readonly key: string; readonly bucket: string } | undefined {
  const [, key, bucket] = addressPattern.exec(address) ?? []
  return key === undefined || bucket === undefined ? undefined : { key, bucket }
}

/** Logs lie in 256 buckets, each a folder, so that a look for a token's logs lists a few of ten thousand. */
export function bucketOf(key: string): string {
  return key.slice(key.indexOf('.') + 1, key.indexOf('.') + 3)
}
