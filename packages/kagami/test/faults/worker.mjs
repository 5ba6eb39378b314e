/**
 * One node in a process of its own, for the tests of faults: writes to every token whose primary it is, tells the parent how each write ended, and
 * kills itself with SIGKILL at the point that it is told. Plain JavaScript, because Node starts it as it is.
 */
import { writeSync } from 'node:fs'
import { join } from 'node:path'
import { createKagami, isKagamiError } from 'kagami'
import { embedded } from 'kagami/embedded'
import { fsSnapshotStore } from 'kagami/snapshot-fs'
import { delegate } from '../delegate.mjs'

const [dir, id, run, sessionTimeoutMs] = process.argv.slice(2)
/** Where to die: `{ op, phase }`, phase 'before', 'during' or 'after'. Given at the start, or by a message. */
let plan = JSON.parse(process.env.KAGAMI_DIE ?? 'null')

/** Dies here and now, if that is the plan; says so first, in a way that a kill can't lose. */
function dieIf(op, phase) {
  if (plan === null || plan.op !== op || plan.phase !== phase) return
  writeSync(2, `DIES ${op} ${phase}\n`)
  process.kill(process.pid, 'SIGKILL')
}

/** Calls the operation, and dies before it, soon after it has begun, or when it has ended. */
async function deadly(op, work) {
  dieIf(op, 'before')
  if (plan?.op === op && plan.phase === 'during') setTimeout(() => dieIf(op, 'during'), Math.random() * 2)
  const result = await work()
  dieIf(op, 'after')
  return result
}

const KIND_OFFSET = 3
const KIND_BARRIER = 2

function deadlyLog(log) {
  return delegate(log, {
    async open(address, options) {
      const opened = await log.open(address, options)
      return delegate(opened, {
        append: (record, call) =>
          deadly(record[KIND_OFFSET] === KIND_BARRIER ? 'promotion' : 'append', () => opened.append(record, call)),
        truncate: (before, call) => deadly('truncation', () => opened.truncate(before, call)),
      })
    },
  })
}

function deadlyCoordinator(coordinator) {
  return delegate(coordinator, {
    async connect(options) {
      const session = await coordinator.connect(options)
      return delegate(session, {
        write: (name, ...rest) =>
          name.startsWith('assignments/')
            ? deadly('controller write', () => session.write(name, ...rest))
            : session.write(name, ...rest),
      })
    },
  })
}

function deadlyStore(store) {
  return delegate(store, {
    create(meta, chunks, options) {
      async function* watched() {
        for await (const chunk of chunks) {
          dieIf('snapshot write', 'before')
          yield chunk
          dieIf('snapshot write', 'during')
        }
        dieIf('snapshot write', 'after')
        if (plan?.op === 'publish' && plan.phase === 'during')
          setTimeout(() => dieIf('publish', 'during'), Math.random() * 2)
        dieIf('publish', 'before')
      }
      return store.create(meta, watched(), options).then((ref) => {
        dieIf('publish', 'after')
        return ref
      })
    },
  })
}

/** Remembers every id in order, and notices one that comes twice. */
class Ledger {
  ids = []
  seen = new Set()
  twice = 0

  apply({ value }) {
    const written = Buffer.from(value).toString()
    if (this.seen.has(written)) this.twice += 1
    this.seen.add(written)
    return this.ids.push(written)
  }

  snapshot() {
    const { length } = this.ids
    const { ids, twice } = this
    return {
      async *persist() {
        yield Buffer.from(`${twice}\n`)
        for (let at = 0; at < length; at += 500)
          yield Buffer.from(ids.slice(at, Math.min(length, at + 500)).join('\n') + '\n')
      },
      release() {},
    }
  }

  async restore(chunks) {
    dieIf('restore', 'before')
    const parts = []
    for await (const chunk of chunks) {
      parts.push(Buffer.from(chunk))
      dieIf('restore', 'during')
    }
    const [twice, ...ids] = Buffer.concat(parts).toString().trimEnd().split('\n')
    this.twice = Number(twice)
    this.ids = ids
    this.seen = new Set(ids)
    dieIf('restore', 'after')
  }
}

const engine = embedded({ dir, sessionTimeoutMs: Number(sessionTimeoutMs) })
const quiet = () => {}
const say = process.env.KAGAMI_TEST_LOG ? (...args) => console.error(new Date().toISOString(), id, ...args) : quiet
const kagami = createKagami({
  cluster: 'faults',
  node: { id },
  log: deadlyLog(engine.log),
  coordinator: deadlyCoordinator(engine.coordinator),
  snapshots: deadlyStore(fsSnapshotStore({ dir: join(dir, 'snapshots') })),
  stateMachine: () => new Ledger(),
  snapshotting: { everyEntries: 300, everyMs: 1000 },
  placementLimits: { graceMs: 1500 },
  seams: { logger: { debug: quiet, info: say, warn: say, error: say } },
})

let acked = []
let rejected = []
let writing = true
let written = 0
const flush = () => {
  if (acked.length + rejected.length === 0 || !process.connected) return
  process.send({ type: 'outcomes', acked, rejected })
  acked = []
  rejected = []
}

/** What a write is refused with where it is certain that it was not applied. */
const DEFINITE = [
  'KAGAMI_NOT_PRIMARY',
  'KAGAMI_STOPPED',
  'KAGAMI_TOKEN_FAILED',
  'KAGAMI_OVERLOADED',
  'KAGAMI_STORE_FULL',
]

/** Writes one entry, whatever this node is to the token; notes, and tells, how that ended. The entry names the epoch that its author believes in. */
async function attempt(token) {
  const handle = kagami.get(token)
  const entry = `${token}/${id}/${run}/${handle.epoch}/${written++}`
  try {
    await handle.replicate(Buffer.from(entry))
    acked.push(entry)
    return 'acknowledged'
  } catch (error) {
    if (!isKagamiError(error)) throw error
    if (DEFINITE.includes(error.code)) rejected.push(entry)
    else if (error.code !== 'KAGAMI_INDETERMINATE') throw error
    return error.code
  }
}

/** One write at a time per loop, to one token, whenever this node is its primary. */
async function write(token) {
  for (;;) {
    if (writing && kagami.get(token)?.role === 'primary') await attempt(token)
    // Bounded, so that the ledgers of a long run stay small; there is always a write under way.
    await new Promise((resolve) => setTimeout(resolve, 8))
  }
}

const commands = {
  attempt: async ({ tokens: chosen }) =>
    Object.fromEntries(await Promise.all(chosen.map(async (token) => [token, await attempt(token)]))),
  plan: ({ plan: next }) => (plan = next),
  pause: () => {
    writing = false
  },
  handover: ({ token, to }) => kagami.handover(token, { to, signal: AbortSignal.timeout(5000) }),
  alter: ({ token, replicas }) => kagami.alter(token, { replicas, signal: AbortSignal.timeout(5000) }),
  status: () => {
    const health = kagami.health()
    return {
      member: health.member,
      controller: health.controller,
      problems: health.problems,
      copies: Object.fromEntries(
        health.copies.map((copy) => [copy.token, { role: copy.role, caughtUp: copy.lag.caughtUp, epoch: copy.epoch }]),
      ),
    }
  },
  ledger: async ({ token }) => {
    const handle = kagami.get(token)
    await handle.sync({ signal: AbortSignal.timeout(10_000) })
    return { ids: handle.state.ids, twice: handle.state.twice }
  },
}

process.on('message', async ({ number, command, ...rest }) => {
  let answer
  try {
    answer = { value: await commands[command](rest) }
  } catch (error) {
    answer = { error: `${error.code ?? ''} ${error.message}` }
  }
  flush()
  if (process.connected) process.send({ type: 'answer', number, ...answer })
})
// Whatever happens to the parent, no process is left.
process.on('disconnect', () => process.exit(0))

await kagami.start()
const tokens = JSON.parse(process.env.KAGAMI_TOKENS)
await Promise.all(tokens.map((token) => kagami.token(token, { replicas: 1 })))
setInterval(flush, 5)
for (const token of tokens) for (let i = 0; i < 3; i++) void write(token)
process.send({ type: 'ready' })
