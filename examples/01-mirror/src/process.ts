/**
 * One of the two processes: `node dist/process.js token1 --dir <folder>`. It writes to its own token and mirrors the other's; while
 * the other process is gone, it writes to that token, too.
 */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createKagami, isKagamiError, type Token } from 'kagami'
import { Lines, text } from './lines.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { dir: { type: 'string' }, 'remove-dir': { type: 'boolean' } },
})
const [own] = positionals
const { dir } = values
if ((own !== 'token1' && own !== 'token2') || dir === undefined) {
  console.error('usage: node dist/process.js token1|token2 --dir <folder that both processes share>')
  process.exit(2)
}
const other = own === 'token1' ? 'token2' : 'token1'

const stopped = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopped.abort())
if (process.send !== undefined) {
  // Started by main.js: it lives no longer than that one, however that one ends.
  const abandoned = (): void => {
    if (values['remove-dir'] === true) rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 25 })
    process.exit(1)
  }
  process.on('disconnect', abandoned)
  // Listening must not keep this process alive once it has stopped.
  process.channel?.unref()
  if (!process.connected) abandoned()
}

const kagami = createKagami<number, string>({
  cluster: 'mirror',
  node: { id: own },
  dir,
  codec: text,
  stateMachine: () => new Lines(),
})
kagami.on('promoted', ({ token, epoch }) => say(`is the primary of ${token} now, in epoch ${epoch}`))
kagami.on('demoted', ({ token, reason }) => say(`is the primary of ${token} no more: ${reason}`))
kagami.on('in-sync', ({ token, next }) => say(`mirrors ${token}, ${next.index} lines so far`))

try {
  await kagami.start({ signal: stopped.signal })
  await kagami.token(own, { primary: 'self', replicas: 1, failback: true, signal: stopped.signal })
  while (!stopped.signal.aborted) {
    for (const name of [own, other]) await write(kagami.get(name))
    await pause(250)
  }
} catch (error) {
  if (!stopped.signal.aborted) throw error
}
await kagami.stop()

/** Writes the next line, if this process is the token's primary, and says what it sees of it otherwise. */
async function write(token: Token<number, string> | undefined): Promise<void> {
  // Without a next position there is no copy here, or it is being restored.
  if (token?.next === undefined || token.role === 'failed') return
  const lines = token.state as Lines
  if (token.role !== 'primary') return say(`sees ${token.name} at line ${lines.count}: ${lines.last ?? 'nothing yet'}`)
  try {
    const { result } = await token.replicate(`written by the process of ${own}`, { signal: stopped.signal })
    say(`wrote line ${result} of ${token.name}`)
  } catch (error) {
    // The other process has come back for its token, or this one stops.
    if (!isKagamiError(error, 'KAGAMI_NOT_PRIMARY') && !stopped.signal.aborted) throw error
  }
}

function say(what: string): void {
  console.log(`process of ${own ?? ''}: ${what}`)
}

async function pause(ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: stopped.signal }).catch(() => undefined)
}
