/** Sends HTTP requests over kept connections, and tells a request that never left from one whose fate is unknown. Never retries. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'

export interface Outgoing {
  readonly method: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array
  readonly signal: AbortSignal
}

export interface Incoming {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** No answer came. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
  /** False: nobody can have seen the request. */
  readonly sent: boolean

  constructor(url: string, sent: boolean, cause: unknown) {
    super(`${url} gave no answer${sent ? '' : ', and was not reached'}`, { cause })
    this.sent = sent
  }
}

export interface Sender {
  /** @throws NoAnswer, also when the signal aborts */
  send(url: string, outgoing: Outgoing): Promise<Incoming>
  /** Ends every connection. */
  close(): void
}

const neverConnected = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'])

export function httpSender(options: { readonly connectionsPerHost: number }): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: options.connectionsPerHost, scheduling: 'lifo' })
  return {
    send(url, { method, headers = {}, body, signal }) {
      return new Promise((resolve, reject) => {
        const fail = (error: unknown): void => {
          const code = (error as NodeJS.ErrnoException).code ?? ''
          reject(new NoAnswer(url, assigned && !neverConnected.has(code), error))
        }
        let assigned = false
        const length = body === undefined ? {} : { 'content-length': String(body.byteLength) }
        const request = httpRequest(url, { method, agent, signal, headers: { ...headers, ...length } }, (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', fail)
          response.on('close', () => {
            if (!response.complete) return fail(new Error('the answer was cut off'))
            resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
          })
        })
        // Until a socket is at hand the request waits in this process.
        request.on('socket', () => (assigned = true))
        request.on('error', fail)
        request.end(body)
      })
    },
    close: () => agent.destroy(),
  }
}
