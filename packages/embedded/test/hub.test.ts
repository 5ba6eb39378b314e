/** What the processes of a folder tell each other. That every message may be lost is tested with what relies on the folder alone. */
import { expect, onTestFinished, test } from 'vitest'
import { openFolder } from '../src/folder.js'
import { Hub } from '../src/hub.js'
import type { Message } from '../src/messages.js'
import { ownIdentity } from '../src/process-identity.js'
import { silent, testFolder } from './support.js'

test('that a document was written, and that it is damaged, are both told, each once, when they are told at once', async () => {
  const folder = await openFolder(await testFolder(), 'test', ownIdentity(), silent)
  const [here, there] = [new Hub(folder, silent), new Hub(folder, silent)]
  for (const hub of [here, there]) {
    await hub.start()
    onTestFinished(() => hub.stop())
  }
  const written: Message = { kind: 'documents', name: 'x/1' }
  const damaged: Message = { kind: 'documents', name: 'x/1', damaged: true }
  const last: Message = { kind: 'documents', name: 'x/2' }
  const heard: Message[] = []
  const all = new Promise<void>((resolve) => {
    const listener = {
      heard: (message: Message) => {
        heard.push(message)
        if (message.kind === 'documents' && message.name === last.name) resolve()
      },
      lost: () => undefined,
    }
    there.listen(listener)
  })
  // It connects when it first hears of the other.
  await here.meet()
  for (const message of [damaged, written, damaged, written, last]) here.tell(message)
  await all
  expect(heard).toEqual([damaged, written, last])
})
