/** The service's HTTP face: what each path means and how it is answered. Decides nothing about tokens itself. */
import { Hono, type Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type { Kagami } from 'kagami'
import { versionOf, type Command, type Outcome } from '../state/command.js'
import { digestOf } from '../state/digest.js'
import { formatPosition, Refusal, refusalOf } from './answers.js'
import { Changes } from './changes.js'
import { parseFreshness } from './freshness.js'
import { tokenOf } from './partition.js'
import { FORWARDED, peersOf } from './peers.js'
import { Reads, type KvToken } from './reads.js'
import { conditionOf, keyOf, rangeOf, requestIdOf } from './request-parts.js'
import { scan } from './scan.js'
import type { Incoming, Sender } from './sender.js'
import { statusOf } from './status.js'
import { Writes } from './writes.js'

export const MAX_VALUE_BYTES = 524_288

export interface RouteOptions {
  readonly kagami: Kagami<Outcome, Command>
  readonly node: string
  readonly tokens: readonly string[]
  readonly sender: Sender
  /** How long a request may wait, for a primary for instance. Milliseconds. */
  readonly patienceMs: number
}

type Env = { Variables: { readonly signal: AbortSignal } }

export interface Routes {
  readonly app: Hono<Env>
  readonly close: () => void
}

export function routes(options: RouteOptions): Routes {
  const { kagami, node, tokens, sender, patienceMs } = options
  const peers = peersOf(kagami, node, sender)
  const changes = new Changes(kagami)
  const writes = new Writes(kagami, peers, changes)
  const reads = new Reads(kagami, peers, changes)
  const app = new Hono<Env>()

  app.use(async (c, next) => {
    const deadline = new AbortController()
    const timer = setTimeout(() => deadline.abort(new Error('the request took too long')), patienceMs)
    c.set('signal', deadline.signal)
    await next()
    clearTimeout(timer)
    c.header('kv-node', node)
  })
  app.onError((error, c) => {
    const { status, code, applied, message } = refusalOf(error, c.get('signal'))
    if (status === 503) c.header('retry-after', '1')
    return c.json({ error: code, message, applied }, status)
  })
  app.notFound((c) => c.json({ error: 'KV_NO_SUCH_PATH', message: 'see the README for the paths' }, 404))

  const write = async (c: Context<Env>, command: Command): Promise<Response> => {
    const token = tokenOf(command.key, tokens)
    const answer = await writes.write({
      token,
      command,
      path: pathOf(c),
      outgoing: {
        method: c.req.method,
        headers: conditionHeaders(c),
        signal: c.get('signal'),
        ...(command.op === 'put' ? { body: command.value } : {}),
      },
      forwarded: isForwarded(c),
    })
    return 'passedOn' in answer ? passOn(c, answer.passedOn) : answerWrite(c, token, answer.outcome)
  }

  const limit = bodyLimit({
    maxSize: MAX_VALUE_BYTES,
    onError: () => {
      throw new Refusal(413, 'KV_VALUE_TOO_LARGE', `a value has at most ${MAX_VALUE_BYTES} bytes`)
    },
  })
  app.put('/kv/:key{.+}', limit, async (c) => {
    const value = new Uint8Array(await c.req.arrayBuffer())
    return write(c, { op: 'put', key: keyOf(c), condition: conditionOf(c), request: requestIdOf(c), value })
  })
  app.delete('/kv/:key{.+}', (c) =>
    write(c, { op: 'delete', key: keyOf(c), condition: conditionOf(c), request: requestIdOf(c) }),
  )

  app.get('/kv/:key{.+}', async (c) => {
    const key = keyOf(c)
    const token = tokenOf(key, tokens)
    const freshness = parseFreshness(c.req.query('read'), [token])
    const path = pathOf(c)
    const answer = await reads.read({ token, freshness, path, forwarded: isForwarded(c), signal: c.get('signal') })
    if ('passedOn' in answer) return passOn(c, answer.passedOn)
    describeCopy(c, answer.token)
    const cell = answer.machine.get(key)
    if (cell === undefined) throw new Refusal(404, 'KV_NO_SUCH_KEY', `${key} has no value`)
    c.header('etag', `"${cell.version}"`)
    c.header('content-type', 'application/octet-stream')
    return c.body(cell.value.slice().buffer)
  })

  app.get('/kv', async (c) => {
    const only = c.req.query('token')
    if (only !== undefined && !tokens.includes(only)) throw noSuchToken(only)
    const chosen = only === undefined ? tokens : [only]
    const url = new URL(c.req.url)
    const pathFor = (token: string): string => {
      url.searchParams.set('token', token)
      const read = c.req.query('read')
      if (read?.startsWith('at-least=') === true) url.searchParams.set('read', ownPositions(read, token))
      return url.pathname + url.search
    }
    const request = { range: rangeOf(c), freshness: parseFreshness(c.req.query('read'), chosen), pathFor }
    const items = await scan(reads, { ...request, tokens: chosen, forwarded: isForwarded(c), signal: c.get('signal') })
    return c.json({ items })
  })

  app.get('/status', (c) => c.json(statusOf(kagami)))
  app.get('/health', (c) => {
    const { ok, status, problems } = kagami.health()
    return c.json({ ok, status, problems }, ok ? 200 : 503)
  })
  app.get('/ledger/:token', async (c) => {
    const name = c.req.param('token')
    const token = kagami.get(name)
    if (!tokens.includes(name) || token === undefined) throw noSuchToken(name)
    const signal = c.get('signal')
    await token.sync({ signal })
    const machine = token.state as Parameters<typeof digestOf>[0]
    const [next, digest] = [token.next, digestOf(machine, signal)]
    const { hash, counts, rows } = await digest
    const compact = rows.map(({ client, number, entries, effects, index }) => [client, number, entries, effects, index])
    return c.json({
      node,
      token: name,
      position: next === undefined ? null : versionOf(next),
      hash,
      counts,
      rows: compact,
    })
  })
  return { app, close: () => changes.close() }
}

function answerWrite(c: Context, token: string, outcome: Outcome): Response {
  const { status, existed, version, repeated } = outcome
  const position = formatPosition(token, outcome.position)
  if (status === 'forgotten') {
    const message = 'this request id is older than those that are remembered: whether it took effect before is unknown'
    throw new Refusal(409, 'KV_REQUEST_FORGOTTEN', message, 'unknown')
  }
  if (version !== undefined) c.header('etag', `"${version}"`)
  c.header('kv-position', position)
  const body = { token, position, version: version ?? null, existed, repeated }
  if (status === 'refused') {
    const message = existed ? `the key has version ${version ?? ''}` : 'the key has no value'
    return c.json({ ...body, error: 'KV_CONDITION_FAILED', message, applied: 'no' }, 412)
  }
  return c.json(body, version !== undefined && !existed ? 201 : 200)
}

/** Says whose copy was read, up to which write, and how old it may be. */
function describeCopy(c: Context, { name, role, next, lag }: KvToken): void {
  // The newest entry that it has, and not the next: whoever asks for at least that again must not wait for another write.
  if (next !== undefined && next.index > 0) {
    c.header('kv-position', formatPosition(name, { ...next, index: next.index - 1 }))
  }
  c.header('kv-role', role)
  c.header('kv-lag-entries', Number.isFinite(lag.entries) ? String(lag.entries) : 'unknown')
  c.header('kv-lag-ms', String(Math.round(lag.timeMs)))
  c.header('kv-look-age-ms', Number.isFinite(lag.lookAgeMs) ? String(Math.round(lag.lookAgeMs)) : 'never')
}

function passOn(c: Context, { status, headers, body }: Incoming): Response {
  for (const [name, value] of Object.entries(headers)) {
    const ours = name === 'etag' || name === 'content-type' || name === 'retry-after' || name.startsWith('kv-')
    if (ours && name !== 'kv-node' && typeof value === 'string') c.header(name, value)
  }
  c.header('kv-answered-by', String(headers['kv-node'] ?? ''))
  return c.newResponse(new Uint8Array(body), status as 200)
}

function conditionHeaders(c: Context): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of ['request-id', 'if-match', 'if-none-match']) {
    const value = c.req.header(name)
    if (value !== undefined) headers[name] = value
  }
  return headers
}

function ownPositions(read: string, token: string): string {
  const own = read
    .slice('at-least='.length)
    .split(',')
    .filter((part) => part.startsWith(`${token}@`))
  return own.length === 0 ? 'local' : `at-least=${own.join(',')}`
}

function pathOf(c: Context): string {
  const { pathname, search } = new URL(c.req.url)
  return pathname + search
}

function isForwarded(c: Context): boolean {
  return c.req.header(FORWARDED) !== undefined
}

function noSuchToken(name: string): Refusal {
  return new Refusal(404, 'KV_NO_SUCH_TOKEN', `this node has no token ${name}`)
}
