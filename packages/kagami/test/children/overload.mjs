// Calls `replicate` so many times without waiting, with entries of so many bytes, while the log takes nothing; then lets the log go on. Prints
// what the calls came to, and what memory they took.
import { createKagami } from 'kagami'
import { embedded } from 'kagami/embedded'
import { delegate } from '../delegate.mjs'
import { Counter, memory } from './counter.mjs'

const [dir, calls, bytes] = process.argv.slice(2)
let held
const { log, coordinator } = embedded({ dir })
const slow = delegate(log, {
  async open(address, options) {
    const opened = await log.open(address, options)
    return delegate(opened, {
      async append(record, call) {
        await held
        return opened.append(record, call)
      },
    })
  },
})
const kagami = createKagami({
  cluster: 'shop',
  dir,
  node: { id: 'a' },
  log: slow,
  coordinator,
  stateMachine: () => new Counter(),
  // The log is slow, not gone, however long this machine takes.
  limits: { appendTimeoutMs: 600_000 },
})
await kagami.start()
const orders = await kagami.token('orders', { primary: 'self', replicas: 0 })
const outcomes = {}
let pending = 0
let settled = () => undefined

function call(value) {
  pending += 1
  orders
    .replicate(value)
    .then(
      () => 'acknowledged',
      ({ code, retryable, message }) => {
        outcomes.refusal ??= { code, retryable, message }
        return code
      },
    )
    .then((outcome) => {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
      pending -= 1
      if (pending === 0) settled()
    })
}

const before = await memory()
let goOn
held = new Promise((resolve) => (goOn = resolve))
for (let i = 0; i < Number(calls); i++) {
  call(Buffer.alloc(Number(bytes), i))
  if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
}
const full = await memory()
const waiting = pending
goOn()
await new Promise((resolve) => (settled = resolve))
const after = await memory()
const applied = orders.state.count
await kagami.stop()
console.log(JSON.stringify({ waiting, outcomes, applied, before, full, after }))
