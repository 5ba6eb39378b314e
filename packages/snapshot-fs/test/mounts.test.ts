/** Checks real faults of real file systems: one that is full, one that is read-only. Mounted where only a child process sees them. */
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test, type TestContext } from 'vitest'
import { folder } from './support.js'

/** The mounts end with the process. Root may make them at once; others, where the system lets them, as root of a namespace. */
const namespace = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']
const mountable = spawnSync('unshare', [...namespace, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0

async function inNamespace(context: TestContext, child: string): Promise<unknown> {
  // eslint-disable-next-line no-restricted-syntax -- where nobody may mount, as on a developer's machine, there is no such file system
  if (!mountable) context.skip('needs the right to mount')
  const script = fileURLToPath(new URL(`./children/${child}`, import.meta.url))
  const { stdout } = await promisify(execFile)('unshare', [...namespace, process.execPath, script, await folder()])
  return JSON.parse(stdout) as unknown
}

const full = { code: 'KAGAMI_STORE_FULL', retryable: true, cause: 'ENOSPC' }

describe('a file system', () => {
  test('that is full costs the snapshot under way, and nothing else', async (context) => {
    expect(await inNamespace(context, 'full-disk.mjs')).toEqual({
      first: 300_000,
      second: full,
      afterFull: { ids: ['first'], files: ['first.snap'], whole: true },
      otherToken: full,
      folders: ['orders'],
      filled: 'ENOSPC',
      restarted: { warnings: 1, ids: ['first'], whole: true },
      whileFull: full,
      afterRoom: { bytes: 400_000, ids: ['second', 'first'] },
    })
  })

  test('that is read-only is refused by start, and by create, and can still be read', async (context) => {
    const unavailable = {
      code: 'KAGAMI_STORE_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('EROFS'),
    }
    expect(await inNamespace(context, 'read-only.mjs')).toEqual({
      create: unavailable,
      delete: unavailable,
      listed: 1,
      start: unavailable,
      startBelow: unavailable,
      createAgain: 'resolved',
    })
  })
})
