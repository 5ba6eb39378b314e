/** What the children share that measure memory: a state machine whose state is one number, and a look at the memory in use. */
import { setTimeout as sleep } from 'node:timers/promises'

export class Counter {
  count = 0

  apply() {
    return (this.count += 1)
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
    for await (const chunk of chunks) this.count = Number(Buffer.from(chunk).toString())
  }
}

/** What is left after collections, in bytes. Buffers are freed by a task of their own, so it has to be waited for. */
export async function memory() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await sleep(20)
  }
  const { heapUsed, external, rss } = process.memoryUsage()
  return { used: heapUsed + external, resident: rss }
}
