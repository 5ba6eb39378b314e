// In a mount namespace of its own: what a node says of a folder that is mounted read-only, and prints it.
import { execFileSync } from 'node:child_process'
import { eventually, makeNode, mountDisk, outcome } from './nodes.mjs'

const [dir] = process.argv.slice(2)
mountDisk(dir, 16)
const first = makeNode(dir, 'a')
await first.start()
const orders = await first.token('orders', { primary: 'self', replicas: 0 })
for (const line of ['first', 'second']) await orders.replicate(Buffer.from(line))
await first.stop()

execFileSync('mount', ['-o', 'remount,bind,ro', dir])
const refused = await outcome(makeNode(dir, 'a').start())
const below = await outcome(makeNode(`${dir}/below`, 'a').start())
execFileSync('mount', ['-o', 'remount,bind,rw', dir])

const again = makeNode(dir, 'a')
await again.start()
const back = await again.token('orders', { primary: 'self', replicas: 0 })
await eventually(() => back.role === 'primary', 'the owner serves again')
await back.replicate(Buffer.from('third'))
await back.sync()
const { lines } = back.state
await again.stop()
console.log(JSON.stringify({ refused, below, lines }))
