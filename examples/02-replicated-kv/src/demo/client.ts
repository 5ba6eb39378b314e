/** One client of the service: writes and reads over HTTP, at whichever node, and writes down what it was answered. */
import { tokenOf } from '../service/partition.js'
import { NoAnswer, type Incoming, type Sender } from '../service/sender.js'
import { appliedOf } from '../service/writes.js'
import { compareVersions, type Records, type WriteRecord } from './records.js'

export interface ClientOptions {
  readonly name: string
  readonly tokens: readonly string[]
  readonly records: Records
  readonly sender: Sender
  /** The addresses of the nodes that are thought to live. */
  readonly urls: () => readonly string[]
  readonly random: () => number
  /** Gives up on an answer that leaves the effect open, instead of trying again with the same number. */
  readonly givesUp: boolean
  /** Ends everything; what is under way stays of unknown effect. */
  readonly signal: AbortSignal
}

const ANSWER_WITHIN_MS = 8000
const PAUSE_MS = 20
const VALUE_BYTES = 100

export class Client {
  readonly #options: ClientOptions
  readonly #positions = new Map<string, string>()
  #number = 0

  constructor(options: ClientOptions) {
    this.#options = options
  }

  /** Resolves when the client knows what became of the write, or has given up. */
  async write(key: string): Promise<void> {
    const { name, tokens, records, givesUp, signal } = this.#options
    const number = ++this.#number
    const record = records.begin(name, number, tokenOf(key, tokens), key)
    const body = Buffer.from(`${name}:${number} `.padEnd(VALUE_BYTES, '.'))
    while (!signal.aborted) {
      record.attempts += 1
      const answer = await this.#send(`/kv/${key}`, 'PUT', body, { 'request-id': `${name}:${number}` })
      const effect = effectOf(answer)
      if (answer instanceof NoAnswer || effect !== 'yes') {
        if (effect === 'no') record.attempts -= 1
        else if (this.#doubt(record, givesUp)) return
        await this.#pause()
        continue
      }
      const { position } = JSON.parse(answer.body.toString('utf8')) as { readonly position: string }
      this.#positions.set(record.token, position)
      records.acknowledge(record, position.slice(position.indexOf('@') + 1), performance.now())
      return
    }
    record.state = record.attempts === 0 ? 'never' : 'unknown'
  }

  async read(key: string): Promise<void> {
    const { tokens, records, random, signal } = this.#options
    const token = tokenOf(key, tokens)
    const draw = random()
    const own = this.#positions.get(token)
    const how = draw < 0.2 ? 'linearizable' : draw < 0.4 && own !== undefined ? `at-least=${own}` : 'local'
    const least = how === 'linearizable' ? records.newestOf(key) : undefined
    while (!signal.aborted) {
      const answer = await this.#send(`/kv/${key}?read=${how}`, 'GET')
      if (answer instanceof NoAnswer || (answer.status !== 200 && answer.status !== 404)) {
        await this.#pause()
        continue
      }
      const version = answer.headers.etag?.replaceAll('"', '')
      if (least !== undefined && (version === undefined || compareVersions(version, least) < 0)) records.staleReads += 1
      records.read(token)
      return
    }
  }

  /** Whether the client gives up. */
  #doubt(record: WriteRecord, givesUp: boolean): boolean {
    record.doubtful = true
    if (givesUp) record.state = 'unknown'
    return givesUp
  }

  async #send(
    path: string,
    method: string,
    body?: Uint8Array,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Incoming | NoAnswer> {
    const { urls, random, sender, signal } = this.#options
    const all = urls()
    const url = all[Math.floor(random() * all.length)]
    if (url === undefined) return new NoAnswer(path, false, new Error('no node lives'))
    const deadline = new AbortController()
    const end = (): void => deadline.abort(new Error('no answer in time'))
    const timer = setTimeout(end, ANSWER_WITHIN_MS)
    signal.addEventListener('abort', end, { once: true })
    try {
      const content = body === undefined ? {} : { body }
      return await sender.send(url + path, { method, headers, signal: deadline.signal, ...content })
    } catch (error) {
      if (error instanceof NoAnswer) return error
      throw error
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => setTimeout(resolve, PAUSE_MS * (0.5 + this.#options.random())))
  }
}

function effectOf(answer: Incoming | NoAnswer): 'yes' | 'no' | 'unknown' {
  if (answer instanceof NoAnswer) return answer.sent ? 'unknown' : 'no'
  if (answer.status === 200 || answer.status === 201) return 'yes'
  return appliedOf(answer) === 'no' ? 'no' : 'unknown'
}
