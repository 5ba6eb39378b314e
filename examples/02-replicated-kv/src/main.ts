/** The command: starts one node of the key-value service, and stops it on Ctrl-C or SIGTERM. */
import { parseArgs } from 'node:util'
import { startKvNode } from './service/kv-node.js'

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    id: { type: 'string' },
    port: { type: 'string', default: '0' },
    tokens: { type: 'string', default: '16' },
    replicas: { type: 'string', default: '1' },
  },
})
if (values.dir === undefined || values.id === undefined) {
  console.error('usage: node dist/main.js --dir <folder> --id <name> [--port 8080] [--tokens 16] [--replicas 1]')
  process.exit(2)
}

const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort())

const node = await startKvNode(
  {
    dir: values.dir,
    id: values.id,
    port: Number(values.port),
    tokens: Number(values.tokens),
    replicas: Number(values.replicas),
  },
  stopped.signal,
)
console.log(`node ${values.id} answers at ${node.url}`)
if (!stopped.signal.aborted) await new Promise((resolve) => stopped.signal.addEventListener('abort', resolve))
await node.stop()
