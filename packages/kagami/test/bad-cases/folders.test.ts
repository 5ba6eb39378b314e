/** Folders that can't be written: start refuses and says what to do, and what is in the folder stays whole. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inNamespace } from './children.js'
import { folder, refusal, Service } from './support.js'

test('a folder whose path leads through a file is refused by start, and by nobody else', async () => {
  const service = await Service.pair()
  const file = join(await folder(), 'file')
  await writeFile(file, 'precious')
  for (const dir of [file, join(file, 'below')]) {
    const refused = await refusal(service.make('c', { dir }).start())
    expect(refused).toMatchObject({ code: 'KAGAMI_BAD_OPTION', retryable: false, details: { option: 'dir' } })
    expect(refused.message).toContain(`option dir is ${JSON.stringify(dir)}; expected the path of a folder`)
  }
  await service.start('c')
  await service.goesOn()
})

test('a folder that is mounted read-only is refused by start, and holds everything once it can be written', async (context) => {
  const refused = { code: 'KAGAMI_STORE_UNAVAILABLE', retryable: false, details: { system: 'EROFS' } }
  const result = await inNamespace(context, 'read-only.mjs')
  expect(result).toMatchObject({ refused, below: refused, lines: ['first', 'second', 'third'] })
  expect(result).toMatchObject({
    refused: { message: expect.stringMatching(/mounted read-only; mount it writable, or name another folder/) },
  })
})
