/** The command: starts one node of the key-value service, and stops it on Ctrl-C or SIGTERM. */
import { isKagamiError } from 'kagami'
import { UsageError } from './command-line.js'
import { parseOptions, usage } from './options.js'
import { startKvNode } from './service/kv-node.js'

const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort())

try {
  const options = parseOptions(process.argv.slice(2))
  const node = await startKvNode(options, stopped.signal)
  console.log(`node ${options.id} answers at ${node.url}`)
  if (!stopped.signal.aborted) await new Promise((resolve) => stopped.signal.addEventListener('abort', resolve))
  await node.stop()
} catch (error) {
  // Told to stop before it had started: it has undone what it had begun.
  if (!stopped.signal.aborted) fail(error)
}

function fail(error: unknown): void {
  if (error instanceof UsageError) console.error(`${error.message}\n\n${usage}`)
  // Whose port is taken, or whose folder can't be written, needs no stack for that.
  else if (isKagamiError(error)) console.error(`${error.code}: ${error.message}`)
  else console.error(isSystemError(error) ? error.message : error)
  process.exitCode = error instanceof UsageError ? 2 : 1
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}
