/** The state of a token: the lines that were written to it. Remembers the newest of them, and how many there were. Deterministic. */
import type { Codec, Entry, StateMachine, StateSnapshot } from 'kagami'

const REMEMBERED = 1000

/** Values are text. */
export const text: Codec<string> = {
  encode: (value) => Buffer.from(value),
  decode: (bytes) => Buffer.from(bytes).toString('utf8'),
}

export class Lines implements StateMachine<number, string> {
  #count = 0
  #newest: readonly string[] = []

  get count(): number {
    return this.#count
  }

  get last(): string | undefined {
    return this.#newest.at(-1)
  }

  /** Gives the number of the line. */
  apply({ value }: Entry<string>): number {
    // A new array each time, so that a snapshot can keep the old one.
    this.#newest = [...this.#newest, value].slice(-REMEMBERED)
    this.#count += 1
    return this.#count
  }

  snapshot(): StateSnapshot {
    const state = { count: this.#count, newest: this.#newest }
    return {
      async *persist() {
        yield Buffer.from(JSON.stringify(state))
      },
      release: () => undefined,
    }
  }

  async restore(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    const parts: Uint8Array[] = []
    for await (const chunk of chunks) parts.push(chunk.slice())
    const state = JSON.parse(Buffer.concat(parts).toString('utf8')) as { count: number; newest: readonly string[] }
    this.#count = state.count
    this.#newest = state.newest
  }
}
