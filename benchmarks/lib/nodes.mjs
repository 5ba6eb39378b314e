/** Makes nodes as an application would, on the embedded default, for this process and for workers. Measures nothing. */
import { createKagami } from 'kagami'

/** Cadences so long that no snapshot comes in between what is measured. */
export const noSnapshots = { everyEntries: 1e12, everyBytes: 1e15, everyMs: 1e9 }

const quiet = () => {}
const shown = process.env.KAGAMI_BENCH_LOG ? (...args) => console.error(process.pid, ...args) : quiet

/**
 * @param {{ dir: string, id: string, stateMachine: (token: string) => import('kagami').StateMachine<any> } & Record<string, unknown>} options
 */
export function node({ dir, id, stateMachine, ...rest }) {
  const logger = {
    debug: quiet,
    info: shown,
    warn: shown,
    error: (message, fields) => console.error(`node ${id}: ${message}`, fields?.error ?? ''),
  }
  return createKagami({ cluster: 'bench', dir, node: { id }, stateMachine, seams: { logger }, ...rest })
}

/** The cheapest state there is, so that what is measured is Kagami. */
export class Counter {
  count = 0

  apply() {
    return ++this.count
  }

  snapshot() {
    const { count } = this
    return {
      async *persist() {
        yield Buffer.from(String(count))
      },
      release() {},
    }
  }

  async restore(chunks) {
    const parts = []
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    this.count = Number(Buffer.concat(parts).toString())
  }
}

/** Milliseconds of the machine's monotonic clock, which all its processes share. */
export function nowMs() {
  return Number(process.hrtime.bigint()) / 1e6
}

/** @param {number} ms */
export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
