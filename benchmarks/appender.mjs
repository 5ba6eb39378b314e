/**
 * A process that appends synced records to a log that it shares with others, one after the other, as fast as it can, and remembers when each was
 * acknowledged. Commanded like worker.mjs. Ends when its parent does.
 */
import { join } from 'node:path'
import { embedded } from 'kagami/embedded'
import { open } from 'lmdb'
import { nowMs } from './lib/nodes.mjs'

const quiet = () => {}
const logger = { debug: quiet, info: quiet, warn: quiet, error: console.error }
/** A loop that blocks lets messages in after this long. */
const turnMs = 20

/** A frame of 64 entries of 200 bytes. */
const record = Buffer.alloc(14_000, 'x')
let acknowledged = []

const kinds = {
  async embedded({ dir, id, address }) {
    const { log } = embedded({ dir })
    const { signal } = new AbortController()
    await log.start({ cluster: 'bench', node: id, logger, signal })
    const opened = await log.open(address ?? (await log.allocate('frozen', new Set(), { signal })), {
      token: 'frozen',
      signal,
    })
    const append = async () => {
      for (;;) {
        await opened.append(record, { signal })
        acknowledged.push(nowMs())
      }
    }
    void append()
    return opened.address
  },

  lmdb({ dir, id }) {
    const db = open({ path: join(dir, 'lmdb'), encoding: 'binary', overlappingSync: false, cache: false })
    let number = 0
    const append = () => {
      const until = performance.now() + turnMs
      while (performance.now() < until) {
        db.transactionSync(() => db.putSync(`${id} ${number++}`, record))
        acknowledged.push(nowMs())
      }
      setImmediate(append)
    }
    setImmediate(append)
  },
}

const commands = {
  start: ({ kind, ...options }) => kinds[kind](options),
  /** When what was acknowledged since the last call. */
  acknowledged() {
    const times = acknowledged
    acknowledged = []
    return times
  },
}

process.on('message', async ({ number, command, options }) => {
  const answer = { type: 'answer', number }
  try {
    answer.value = await commands[command](options)
  } catch (error) {
    answer.error = error?.stack ?? String(error)
  }
  if (process.connected) process.send(answer)
})
process.on('disconnect', () => process.exit(1))
for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {})
