// Starts a node of this id on the folder, stops it where that went well, and prints what came of it.
import { makeNode, outcome } from './nodes.mjs'

const [dir, id] = process.argv.slice(2)
const node = makeNode(dir, id)
const started = await outcome(node.start())
await node.stop()
console.log(JSON.stringify({ started }))
