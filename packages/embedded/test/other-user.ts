/**
 * What one user leaves in a folder, and another may not use. Root may use everything, so where the tests run as root a process takes the rights of
 * another user, and where they don't, the mode keeps out the owner as well: in both cases `mode` is what decides.
 */
import { chmod, chown, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { testFolder } from './support.js'

const nobody = 65_534
const isRoot = process.geteuid?.() === 0

/** For the environment of a process that shall be another user's than the test's own, where the test may choose. */
export const otherUser: Readonly<Record<string, string>> = isRoot ? { KAGAMI_TEST_USER: String(nobody) } : {}

/** Who owns what another user's process makes. */
export const otherUid = isRoot ? nobody : process.geteuid!()

/** A folder of the other user, removed when the test is over, also what was closed in it. */
export async function folderOfOther(): Promise<string> {
  const dir = await testFolder()
  onTestFinished(() => open(dir))
  if (isRoot) await chown(dir, nobody, nobody)
  return dir
}

/** Takes a file or folder for the test's own user, and lets the other do with it what the mode says. */
export async function keepFromOther(path: string, mode: number): Promise<void> {
  if (isRoot) await chown(path, 0, 0)
  await chmod(path, mode)
}

async function open(folder: string): Promise<void> {
  await chmod(folder, 0o777)
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await open(join(folder, entry.name))
  }
}
