/**
 * What one user leaves in a folder, and another may not use. Root may use everything, so where the tests run as root a process takes the rights of
 * another user, and where they don't, the mode keeps out the owner as well: in both cases `mode` is what decides.
 */
import { chmod, chown } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import { testFolder } from './support.js'

const nobody = 65_534
const isRoot = process.geteuid?.() === 0

/** For the environment of a process that shall be another user's than the test's own, where the test may choose. */
export const otherUser: Readonly<Record<string, string>> = isRoot ? { KAGAMI_TEST_USER: String(nobody) } : {}

/** Who owns what another user's process makes. */
export const otherUid = isRoot ? nobody : process.geteuid!()

/** A folder of the other user, removed when the test is over. */
export async function folderOfOther(): Promise<string> {
  const dir = await testFolder()
  if (isRoot) await chown(dir, nobody, nobody)
  return dir
}

/** Takes a file or folder for the test's own user, and lets the other do with it what the mode says, until the test is over. */
export async function keepFromOther(path: string, mode: number): Promise<void> {
  if (isRoot) await chown(path, 0, 0)
  await chmod(path, mode)
  // It has to be removed again, also by who is not root.
  onTestFinished(() => chmod(path, 0o777).catch(() => undefined))
}
