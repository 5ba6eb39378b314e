/**
 * Writes one snapshot and publishes it, all or nothing. The order is what makes it safe: an unfinished file beside the final
 * one, its bytes, its sync, a hard link under the final name (which never replaces a file, where a rename would), then the sync of the
 * folders. Never leaves anything under the final name when it rejects.
 */
import { join } from 'node:path'
import { types } from 'node:util'
import { KagamiError } from '@kagami/core/contract'
import type { SnapshotMeta } from '@kagami/core/contract'
import { BodyWriter } from './body-writer.js'
import { orAborted } from './call.js'
import { errorCode, inStore, storeError, syncFolder, writeFully } from './file-system.js'
import type { FileHandle } from './file-system.js'
import { encodeHeader } from './format.js'
import { sweepFolder } from './litter.js'
import type { Sweeper } from './litter.js'
import { folderName, snapshotFileName } from './names.js'
import { tempName } from './writer.js'

export interface Publication extends Sweeper {
  readonly meta: SnapshotMeta
  readonly chunks: AsyncIterable<Uint8Array>
  /** Whether nobody waits for the outcome any more, so that what was published is taken back. */
  readonly abandoned: () => boolean
}

interface Paths {
  readonly folder: string
  readonly target: string
  readonly temp: string
}

/** How often the token's folder is made again when others, deleting their last snapshot, removed it meanwhile. */
const MOST_TRIES = 16

/**
 * Gives the blob's size. From the link on, the signal is not looked at any more.
 * Rejects with the signal's reason, an error of `chunks`, or one of the contract.
 */
export async function publish(publication: Publication): Promise<number> {
  const { root, meta, signal } = publication
  const folder = join(root, folderName(meta.token))
  const target = join(folder, snapshotFileName(meta.id))
  const { bytes: head, header } = encodeHeader(meta)
  if (await exists(publication, target)) throw taken(meta)
  const { handle, temp } = await openTemp(publication, folder)
  const paths = { folder, target, temp }
  try {
    let bytes: number
    try {
      const body = await fill(publication, handle, folder, head, () => new BodyWriter(handle, header))
      signal.throwIfAborted()
      bytes = await finish(handle, body, folder)
    } finally {
      // It is synced, or worthless: what closing says changes nothing.
      await handle.close().catch(() => undefined)
    }
    signal.throwIfAborted()
    await link(publication, paths)
    await makeDurable(publication, paths)
    return bytes
  } catch (error) {
    await removeTemp(publication, paths)
    await publication.fileSystem.rmdir(folder).catch(() => undefined)
    throw error
  }
}

async function exists({ fileSystem }: Publication, target: string): Promise<boolean> {
  try {
    await fileSystem.stat(target)
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw storeError(error, `look for ${target}`)
  }
}

async function openTemp(publication: Publication, folder: string): Promise<{ handle: FileHandle; temp: string }> {
  const { fileSystem, writer, signal } = publication
  for (let tries = 1; ; tries += 1) {
    signal.throwIfAborted()
    await inStore(`make the folder ${folder}`, async () => {
      await fileSystem.mkdir(folder).catch((error: unknown) => {
        if (errorCode(error) !== 'EEXIST') throw error
      })
    })
    const temp = join(folder, tempName(writer))
    try {
      return { handle: await fileSystem.open(temp, 'wx'), temp }
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && tries < MOST_TRIES) continue
      await fileSystem.rmdir(folder).catch(() => undefined)
      throw storeError(error, `create a file in ${folder}`)
    }
  }
}

async function fill(
  publication: Publication,
  handle: FileHandle,
  folder: string,
  head: Uint8Array,
  begin: () => BodyWriter,
): Promise<BodyWriter> {
  const { chunks, signal, litterAgeMs } = publication
  // While `chunks` keeps us waiting the file must not look left behind. A write takes the file system's own clock, as ages do.
  const touch = setInterval(() => void handle.write(head, 0, 1, 0).catch(() => undefined), litterAgeMs / 4).unref()
  try {
    await inStore(`write in ${folder}`, async () => {
      await writeFully(handle, head, 0)
      await sweepFolder(publication, folder, (await handle.stat()).mtimeMs)
    })
    const body = begin()
    await drain(chunks, signal, (chunk) => inStore(`write in ${folder}`, () => body.add(chunk, signal)))
    return body
  } finally {
    clearInterval(touch)
  }
}

function finish(handle: FileHandle, body: BodyWriter, folder: string): Promise<number> {
  return inStore(`write in ${folder}`, async () => {
    const bytes = await body.finish()
    await handle.sync()
    return bytes
  })
}

/** Hands each chunk on before it asks for the next. An abort ends the wait for a chunk that doesn't come. */
async function drain(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted()
  const iterator = chunks[Symbol.asyncIterator]()
  try {
    for (;;) {
      const next = await orAborted(iterator.next(), signal)
      if (next.done === true) return
      if (!types.isUint8Array(next.value)) throw notBytes()
      await take(next.value)
    }
  } catch (error) {
    const returned = Promise.resolve(iterator.return?.()).catch(() => undefined)
    // A source that never gave its chunk may never return either.
    if (!signal.aborted) await orAborted(returned, signal).catch(() => undefined)
    throw error
  }
}

async function link({ fileSystem, meta }: Publication, { temp, target }: Paths): Promise<void> {
  try {
    await fileSystem.link(temp, target)
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw storeError(error, `publish ${target}`)
    // A network file system may have done it, lost the answer, and tried again by itself.
    const [ours, theirs] = await inStore(`look at ${target}`, () =>
      Promise.all([fileSystem.stat(temp, { bigint: true }), fileSystem.stat(target, { bigint: true })]),
    )
    if (ours.ino !== theirs.ino || ours.dev !== theirs.dev) throw taken(meta)
  }
}

async function makeDurable(publication: Publication, paths: Paths): Promise<void> {
  const { fileSystem, root, logger } = publication
  const { folder, target } = paths
  try {
    await removeTemp(publication, paths)
    await syncFolder(fileSystem, folder)
    // The token's folder may be new, by this process or by another that has not got so far yet.
    await syncFolder(fileSystem, root)
    if (publication.abandoned()) throw new Error('the call ended before the snapshot was durable')
  } catch (error) {
    await fileSystem.unlink(target).catch((failure: unknown) => {
      if (errorCode(failure) === 'ENOENT') return
      logger.error('could not take back a snapshot whose publication failed: delete the file', {
        file: target,
        error: failure,
      })
    })
    throw storeError(error, `sync the folder ${folder}`)
  }
}

async function removeTemp({ fileSystem, logger }: Publication, { temp }: Paths): Promise<void> {
  try {
    await fileSystem.unlink(temp)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return
    logger.warn('could not remove an unfinished snapshot; a later sweep will, once this process has ended', {
      file: temp,
      error,
    })
  }
}

function notBytes(): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_FAILED',
    'a chunk of the snapshot is not a Uint8Array: mend what was given to create()',
  )
}

function taken(meta: SnapshotMeta): KagamiError {
  return new KagamiError(
    'KAGAMI_SNAPSHOT_EXISTS',
    `token ${JSON.stringify(meta.token)} already has a snapshot ${meta.id}: every snapshot needs an id of its own`,
    { details: { token: meta.token, id: meta.id } },
  )
}
