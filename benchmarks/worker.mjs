/**
 * One node in a process of its own, commanded by the benchmark that forked it: writes, and tells when what happened, by
 * the monotonic clock that all processes of a machine share. Ends when its parent does.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, node, noSnapshots, nowMs, sleep } from './lib/nodes.mjs'
import { Large } from './lib/large.mjs'

const told = [
  'joined',
  'expired',
  'controller',
  'copy',
  'assigned',
  'promoting',
  'promoted',
  'demoted',
  'restored',
  'in-sync',
  'failed',
]

/** How long entries were under way until this copy had applied them; the primary's time is their first bytes. */
let underWay = []

class Stamped extends Counter {
  apply({ value }) {
    underWay.push(nowMs() - Buffer.from(value.buffer, value.byteOffset, 8).readDoubleLE())
    return super.apply()
  }
}

const machines = { counter: Counter, stamped: Stamped, large: Large }

let kagami
let acknowledged = []
let writing = false
/** An acknowledgement is told by itself when it is the first after a promotion. */
let promotedSince = false

function tell(event, payload) {
  if (process.connected) process.send({ at: nowMs(), event, payload })
}

/** One write at a time, for as long as this node is the primary; then waits until it is again. */
async function write(token, bytes) {
  const handle = kagami.get(token)
  while (writing) {
    if (handle.role !== 'primary') {
      await new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer)
          ignore()
          resolve()
        }
        const timer = setTimeout(done, 100)
        const ignore = kagami.on('promoted', done)
      })
      continue
    }
    try {
      await handle.replicate(bytes)
    } catch (error) {
      if (error.code === undefined) throw error
      await sleep(1)
      continue
    }
    const at = nowMs()
    acknowledged.push(at)
    if (!promotedSince) continue
    promotedSince = false
    tell('acknowledged', { at })
  }
}

const commands = {
  /** `tells`: of which events the parent hears. */
  async start({ dir, id, machine = 'counter', snapshotting = noSnapshots, tells = told, ...rest }) {
    const Machine = machines[machine]
    kagami = node({ dir, id, stateMachine: () => new Machine(), snapshotting, ...rest })
    for (const event of tells) {
      kagami.on(event, (payload) => {
        if (event === 'promoted') promotedSince = true
        const { error } = payload
        tell(event, error === undefined ? payload : { ...payload, error: error.message })
      })
    }
    await kagami.start()
  },
  /** Creates tokens, or joins in. */
  async tokens({ names, options }) {
    await Promise.all(names.map((name) => kagami.token(name, options)))
  },
  /** Writes to a token whenever this node is its primary, with so many callers. */
  write({ token, callers, bytes }) {
    writing = true
    for (let i = 0; i < callers; i++) void write(token, Buffer.alloc(bytes, 7))
  },
  pause() {
    writing = false
  },
  acknowledged() {
    const taken = acknowledged
    acknowledged = []
    return taken
  },
  /** How long the entries up to a position were under way to this copy. */
  async underWay({ token, position }) {
    await kagami.get(token).waitFor(position)
    const taken = underWay
    underWay = []
    return taken
  },
  status() {
    const { controller, copies } = kagami.health()
    return {
      controller,
      copies: Object.fromEntries(copies.map(({ token, role, lag }) => [token, { role, caughtUp: lag.caughtUp }])),
    }
  },
  handover: ({ token, to }) => kagami.handover(token, { to }),
  alter: ({ token, ...options }) => kagami.alter(token, options),
  stop: () => kagami.stop(),
  /** The share of one core that this process takes in each of so many seconds, all its threads together, in percent. */
  async cpu({ seconds }) {
    const shares = []
    while (shares.length < seconds) {
      const before = process.cpuUsage()
      const from = nowMs()
      await sleep(1000)
      const { user, system } = process.cpuUsage(before)
      shares.push((100 * (user + system)) / 1000 / (nowMs() - from))
    }
    return shares
  },
  /** How late the event loop's timers are, in milliseconds. */
  async loopDelay({ ms }) {
    const resolution = 10
    const histogram = monitorEventLoopDelay({ resolution })
    histogram.enable()
    await sleep(ms)
    histogram.disable()
    const late = (nanoseconds) => Math.max(0, nanoseconds / 1e6 - resolution)
    return {
      samples: histogram.count,
      p50: late(histogram.percentile(50)),
      p99: late(histogram.percentile(99)),
      max: late(histogram.max),
    }
  },
  memory() {
    globalThis.gc?.()
    const { rss, heapUsed, external } = process.memoryUsage()
    return { rss, heapUsed, external }
  },
  /** Writes that many small entries of changing sizes, with so many callers; says how long that took, and how many there are now. */
  async fill({ token, entries, callers }) {
    const handle = kagami.get(token)
    const sizes = Array.from({ length: 49 }, (_, i) => Buffer.alloc(16 + i, i))
    const from = nowMs()
    let left = entries
    await Promise.all(
      Array.from({ length: callers }, async () => {
        while (left-- > 0) await handle.replicate(sizes[left % sizes.length])
      }),
    )
    return { tookMs: nowMs() - from, entries: handle.next.index }
  },
}

process.on('message', async ({ number, command, options }) => {
  let answer
  try {
    answer = { value: await commands[command](options) }
  } catch (error) {
    answer = { error: `${command}: ${error.stack}` }
  }
  if (process.connected) process.send({ type: 'answer', number, ...answer })
})
process.on('disconnect', () => process.exit(1))
