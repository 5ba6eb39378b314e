/**
 * A process that takes part in a folder, for the tests that kill and freeze processes. Does what it is told over IPC, one
 * command at a time: `[id, command, ...arguments]`, and answers `{ id, value }` or `{ id, error }`. Reports by itself as `{ event, ... }`.
 * Works with the built package, because plain Node runs it. Takes another user's rights first where `KAGAMI_TEST_USER` names one, and lives
 * `KAGAMI_TEST_LATER_MS` later, by the clock on the wall.
 */
import { embedded } from '../../dist/index.js'
import { SessionFiles } from '../../dist/session-files.js'

const [dir, node, settings = '{}'] = process.argv.slice(2)
const { log, coordinator } = embedded({ dir, ...JSON.parse(settings) })
const signal = new AbortController().signal
const quiet = () => undefined
const told = (message, fields) => {
  const { code, message: reason } = fields?.error ?? {}
  process.send({ event: 'told', message, code, reason })
}
const context = { cluster: 'test', node, signal, logger: { debug: quiet, info: quiet, warn: told, error: told } }
const handles = new Map()
let session

const { KAGAMI_TEST_USER: user, KAGAMI_TEST_LATER_MS: laterMs } = process.env
if (user !== undefined) {
  process.setgroups([])
  process.setgid(Number(user))
  process.setuid(Number(user))
}
if (laterMs !== undefined) {
  const real = Date.now
  Date.now = () => real() + Number(laterMs)
}

const now = () => Number(process.hrtime.bigint()) / 1e6

async function handleOf(address) {
  if (!handles.has(address)) handles.set(address, await log.open(address, { signal, token: 'orders' }))
  return handles.get(address)
}

const sessionFiles = (sessions) => new SessionFiles({ sessions }, () => undefined)

const commands = {
  start: async () => {
    await log.start(context)
    await coordinator.start(context)
  },
  stop: async () => {
    await coordinator.stop()
    await log.stop()
  },
  allocate: (token) => log.allocate(token, new Set(), { signal }),
  append: async (address, text) => String(await (await handleOf(address)).append(Buffer.from(text), { signal })),
  /** Appends `prefix0`, `prefix1`, ..., padded, for ever, so many at once, and reports each acknowledgement. */
  flood: async (address, prefix, bytes, atOnce) => {
    const handle = await handleOf(address)
    let count = 0
    const flow = async () => {
      for (;;) {
        const text = `${prefix}${count++}`
        try {
          const offset = await handle.append(Buffer.from(text.padEnd(bytes, '.')), { signal })
          process.send({ event: 'acked', text, offset: String(offset), at: now() })
        } catch (error) {
          process.send({ event: 'refused', text, code: error.code, at: now() })
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
    }
    for (let i = 0; i < atOnce; i++) void flow()
  },
  /** Follows a log from an offset on, and reports each record. */
  follow: async (address, from, lookMs) => {
    const handle = await handleOf(address)
    const follow = async () => {
      for await (const batch of handle.read(BigInt(from), { signal, lookMs, maxBatchBytes: 65_536 })) {
        for (const { offset, bytes } of batch.records) {
          const text = Buffer.from(bytes).toString()
          process.send({ event: 'read', offset: String(offset), text: text.replace(/\.+$/, ''), at: now() })
        }
      }
    }
    follow().catch((error) => process.send({ event: 'ended', code: error.code, message: error.message }))
  },
  truncateForever: async (address) => {
    const handle = await handleOf(address)
    const go = async () => {
      for (;;) {
        const { start, end } = await handle.range({ signal })
        await handle.truncate(start + (end - start) / 2n, { signal })
      }
    }
    void go()
  },
  connect: async () => {
    session = await coordinator.connect({ signal })
    session.signal.addEventListener('abort', () => process.send({ event: 'over', at: now() }))
    const leases = async () => {
      for await (const state of session.watchLease({ signal })) process.send({ event: 'lease', state, at: now() })
    }
    leases().catch(() => undefined)
    return session.id
  },
  join: async (member) => session.join({ node, member, data: Buffer.from('data') }, { signal }),
  campaign: async () => {
    const leadership = await session.campaign({ signal })
    leadership.signal.addEventListener('abort', () => process.send({ event: 'deposed', at: now() }))
    return leadership.epoch
  },
  /** Follows the members, and reports their nodes. */
  watchMembers: async () => {
    const watch = async () => {
      for await (const members of session.watchMembers({ signal }))
        process.send({ event: 'members', nodes: members.map((member) => member.node).join(), at: now() })
    }
    watch().catch(() => undefined)
  },
  /** Follows documents, and reports the text of each. */
  watch: async (prefix) => {
    const watch = async () => {
      for await (const documents of session.watch(prefix, { signal })) {
        const texts = [...documents].map(([name, { bytes }]) => [name, Buffer.from(bytes).toString()])
        process.send({ event: 'documents', texts: Object.fromEntries(texts) })
      }
    }
    watch().catch(() => undefined)
  },
  /** What this process can tell of a session in a folder of sessions, by itself. */
  lookAt: async (sessions, id) => {
    const files = sessionFiles(sessions)
    return { state: await files.look(id), info: await files.info(id) }
  },
  end: (sessions, id, last) => sessionFiles(sessions).end(id, last),
  write: (name, text, expected) => session.write(name, Buffer.from(text), expected ?? undefined, { signal }),
  /** Adds one to a document for ever, and reports each count that was written. */
  count: async (name) => {
    const go = async () => {
      for (;;) {
        const document = await session.read(name, { signal })
        const count = Number(document === undefined ? 0 : Buffer.from(document.bytes).toString()) + 1
        try {
          await session.write(name, Buffer.from(String(count)), document?.version, { signal })
          process.send({ event: 'counted', count, at: now() })
        } catch (error) {
          if (error.code !== 'KAGAMI_VERSION_CONFLICT' && error.code !== 'KAGAMI_COORDINATOR_UNAVAILABLE') throw error
        }
      }
    }
    void go()
  },
  cpu: async () => {
    const { user, system } = process.cpuUsage()
    return { ms: (user + system) / 1000, at: now() }
  },
}

process.on('message', ([id, command, ...args]) => {
  Promise.resolve(commands[command](...args)).then(
    (value) => process.send({ id, value }),
    (error) => process.send({ id, error: { code: error.code, message: error.message } }),
  )
})
process.on('disconnect', () => process.exit(0))
