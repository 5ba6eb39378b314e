/**
 * Finds strace, or fetches it: from Debian's packages, by the system's own client, into a folder that goes away again. Installs nothing.
 */
import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** strace and the one library of its own. */
const packages = ['strace', 'libunwind8']

export interface Strace {
  readonly path: string
  readonly env: NodeJS.ProcessEnv
}

/** `folder` takes what must be fetched. Undefined where there is none, and none can be fetched. */
export async function strace(folder: string): Promise<Strace | undefined> {
  const own = { path: 'strace', env: process.env }
  if (await works(own)) return own
  console.warn(`strace is not installed; fetching it into ${folder}`)
  try {
    await run('apt-get', ['download', ...packages], { cwd: folder })
    const files = (await readdir(folder)).filter((name) => name.endsWith('.deb'))
    for (const file of files) await run('dpkg-deb', ['--extract', file, '.'], { cwd: folder })
    const lib = join(folder, 'usr', 'lib')
    const libraries = (await readdir(lib)).map((name) => join(lib, name))
    const fetched = {
      path: join(folder, 'usr', 'bin', 'strace'),
      env: { ...process.env, LD_LIBRARY_PATH: libraries.join(':') },
    }
    return (await works(fetched)) ? fetched : undefined
  } catch (error) {
    console.warn(`strace can't be fetched: ${String(error)}`)
    return undefined
  }
}

function works({ path, env }: Strace): Promise<boolean> {
  return run(path, ['-V'], { env }).then(
    () => true,
    () => false,
  )
}
