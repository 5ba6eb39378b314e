// In a mount namespace of its own: what a service of two nodes does while its disk is full, and prints what came of it.
import { eventually, fillDisk, makeNode, mountDisk, outcome } from './nodes.mjs'

const [dir] = process.argv.slice(2)
mountDisk(dir, 16)
// Whatever is refused within the life of this process is refused because the disk is full, and not because the log has been silent for long.
const limits = { appendTimeoutMs: 600_000 }
const [a, b] = ['a', 'b'].map((id) => makeNode(dir, id, { limits }))
await Promise.all([a.start(), b.start()])
const orders = await a.token('orders', { primary: 'self' })
await eventually(() => b.get('orders')?.lag.caughtUp, 'the replica is in sync')
// Larger than what may be left of a page that the log's file has already.
const write = (name) => orders.replicate(Buffer.from(name.padEnd(50_000, '.')))
for (const name of ['first', 'second']) await write(name)
const before = { epoch: orders.epoch, members: [a.health().member, b.health().member] }

const makeRoom = fillDisk(dir)
let sealed = 'pending'
const ending = outcome(write('sealed')).then((how) => (sealed = how))
await eventually(() => !a.health().ok, 'health tells of the full disk')
const refused = await outcome(write('refused'))
const starting = await outcome(makeNode(dir, 'c').start())
const created = await outcome(a.token('carts', { primary: 'self' }))
const altered = await outcome(a.alter('orders', { weight: 2 }))
const removed = await outcome(a.remove('orders'))
const read = b.get('orders').state.lines.length
const whileFull = {
  sealed,
  created,
  altered,
  removed,
  problems: a.health().problems,
  role: orders.role,
  starting,
  read,
}
// Longer than a session lasts without contact.
await new Promise((resolve) => setTimeout(resolve, 2_500))
const later = { sealed, refused: await outcome(write('refused')), lines: orders.state.lines.length }

makeRoom()
await ending
await eventually(() => a.health().ok && b.health().ok, 'health is good again')
const third = await outcome(write('third'))
const cart = await outcome(
  a.token('carts', { primary: 'self' }).then((carts) => carts.replicate(Buffer.from('apples'))),
)
const copies = []
for (const node of [a, b]) {
  await node.get('orders').sync()
  copies.push(node.get('orders').state.lines.map((line) => line.replace(/\.+$/, '')))
}
const after = { epoch: orders.epoch, members: [a.health().member, b.health().member] }
await Promise.all([a.stop(), b.stop()])
console.log(
  JSON.stringify({ refused, whileFull, later, sealed, third, cart, copies, same: isDeepEqual(before, after) }),
)

function isDeepEqual(one, other) {
  return JSON.stringify(one) === JSON.stringify(other)
}
