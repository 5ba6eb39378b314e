/**
 * A process of the demonstration: one node of the service, on the embedded default. It lives no longer than the process that
 * started it: when that one is gone, in whatever way, it removes the common folder and ends.
 */
import { rmSync } from 'node:fs'
import { startKvNode, type KvNode } from '../service/kv-node.js'
import type { NodeProcessOptions, Said, Told } from './messages.js'

const options = JSON.parse(process.argv[2] ?? '{}') as NodeProcessOptions
const stopped = new AbortController()

function vanish(): never {
  // Each process that is left does so last of all, so whatever the others still write goes as well.
  rmSync(options.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
  process.exit(1)
}
process.on('disconnect', vanish)
if (process.connected !== true) vanish()
// Ctrl-C is for the demonstration; it decides what becomes of its nodes.
process.on('SIGINT', () => undefined)

function say(said: Said): void {
  process.send?.(said, () => undefined)
}

process.on('message', ({ type }: Told) => {
  if (type === 'stop') stopped.abort(new Error('the demonstration has ended'))
})

const node = await start()
await untilStopped()
await node.stop()
process.exit(0)

async function start(): Promise<KvNode> {
  const { id, dir, tokens, replicas } = options
  const started = await startKvNode(
    {
      ...{ id, dir, tokens, replicas },
      ledger: true,
      // Often, so that half a minute shows some.
      snapshotting: { everyMs: 4000, everyEntries: 2000 },
      // A node that was killed here never returns: its copies need not wait for it long.
      placementLimits: { graceMs: 3000, restoresPerNode: 8 },
    },
    stopped.signal,
    ({ kagami }) => {
      kagami.on('promoted', ({ token, epoch }) => say({ type: 'promoted', token, epoch, atMs: Date.now() }))
      kagami.on('restored', ({ token, tookMs }) => say({ type: 'restored', token, tookMs }))
      kagami.on('failed', ({ token, error }) => say({ type: 'failed', token, message: error.message }))
      kagami.on('snapshot', ({ token, phase }) => {
        if (phase === 'verified') say({ type: 'snapshot', token })
      })
    },
  )
  say({ type: 'ready', url: started.url })
  return started
}

async function untilStopped(): Promise<void> {
  const { signal } = stopped
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
}
