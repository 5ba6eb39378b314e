// In a mount namespace of its own: what the store does on a file system that is, or becomes, read-only.
import { execFileSync } from 'node:child_process'
import { fsSnapshotStore } from '../../dist/index.js'

const [dir] = process.argv.slice(2)
const signal = new AbortController().signal
const quiet = () => undefined
const context = { cluster: 'shop', node: 'a', logger: { debug: quiet, info: quiet, warn: quiet, error: quiet }, signal }
const meta = { format: 1, id: 'one', token: 'orders', incarnation: 1, nextIndex: 1 }
async function* content() {
  yield Buffer.from('content')
}
const outcome = async (work) => {
  try {
    await work()
    return 'resolved'
  } catch ({ code, retryable, message }) {
    return { code, retryable, message }
  }
}

execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', dir])
const store = fsSnapshotStore({ dir })
await store.start(context)
await store.create(meta, content(), { signal })
execFileSync('mount', ['-o', 'remount,bind,ro', dir])
const result = {
  create: await outcome(() => store.create({ ...meta, id: 'two' }, content(), { signal })),
  delete: await outcome(() => store.delete('orders', 'one', { signal })),
  listed: (await store.list('orders', { signal })).length,
  start: await outcome(() => fsSnapshotStore({ dir }).start(context)),
  startBelow: await outcome(() => fsSnapshotStore({ dir: `${dir}/below` }).start(context)),
}
execFileSync('mount', ['-o', 'remount,bind,rw', dir])
result.createAgain = await outcome(() => store.create({ ...meta, id: 'two' }, content(), { signal }))
await store.stop()
console.log(JSON.stringify(result))
