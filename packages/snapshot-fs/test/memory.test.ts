/** Checks in processes of their own that a blob's size does not show in the memory of who writes and reads it. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { folder } from './support.js'

const large = fileURLToPath(new URL('./children/large.mjs', import.meta.url))

async function peakOf(mebibytes: number): Promise<number> {
  const { stdout } = await promisify(execFile)(process.execPath, [large, await folder(), String(mebibytes)])
  const { peakMiB } = JSON.parse(stdout) as { peakMiB: number }
  return peakMiB
}

test('writing and reading 256 MiB takes no more memory than 16 MiB, but for what the collector leaves lying about', async () => {
  const small = await peakOf(16)
  const large = await peakOf(256)
  expect(large - small).toBeLessThanOrEqual(64)
})
