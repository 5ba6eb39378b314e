/** Runs the children of the tests, and gives what they have printed, as JSON. A disk that one mounts ends with it, and nobody else sees it. */
import { execFile, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { TestContext } from 'vitest'
import { folder } from './support.js'

/** Root may mount at once; others, where the system lets them, as root of a namespace. */
const options = process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']

export async function run(child: string, ...args: readonly string[]): Promise<unknown> {
  return printedBy(process.execPath, [path(child), ...args])
}

/** Runs a child that mounts a disk on its argument, an empty folder. Where nobody may mount, the test is skipped with a warning, and fails in CI. */
export async function inNamespace(context: TestContext, child: string): Promise<unknown> {
  const refused = whyNotMountable()
  if (refused !== undefined) {
    const why = `not tested: this test mounts a disk, and ${refused}. Run it as root, or where users may have namespaces`
    if (inCi()) throw new Error(why)
    console.warn(`${context.task.name}\n${why}`)
    // eslint-disable-next-line no-restricted-syntax -- where nobody may mount, as on a developer's machine, there is no such disk
    context.skip(why)
  }
  return printedBy('unshare', [...options, process.execPath, path(child), await folder()])
}

async function printedBy(command: string, args: readonly string[]): Promise<unknown> {
  const { stdout } = await promisify(execFile)(command, args, { timeout: 50_000, killSignal: 'SIGKILL' })
  return JSON.parse(stdout) as unknown
}

function path(child: string): string {
  return fileURLToPath(new URL(`./children/${child}`, import.meta.url))
}

/** Undefined where this system lets the tests mount. */
function whyNotMountable(): string | undefined {
  const command = [...options, 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']
  const { status, stderr, error } = spawnSync('unshare', command, { encoding: 'utf8' })
  return status === 0 ? undefined : `unshare says: ${error?.message ?? stderr.trim()}`
}

function inCi(): boolean {
  return !['', '0', 'false'].includes(process.env['CI'] ?? '')
}
