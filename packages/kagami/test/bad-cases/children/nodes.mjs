/** What the children share: nodes on a folder, disks of their own, and ways to wait. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKagami } from 'kagami'

/** Remembers every entry, as text, in order. */
class Ledger {
  lines = []

  apply({ value }) {
    return this.lines.push(Buffer.from(value).toString())
  }

  snapshot() {
    const lines = [...this.lines]
    return {
      async *persist() {
        for (const line of lines) yield Buffer.from(`${line}\n`)
      },
      release() {},
    }
  }

  async restore(chunks) {
    const parts = []
    for await (const chunk of chunks) parts.push(Buffer.from(chunk))
    this.lines = Buffer.concat(parts).toString().split('\n').slice(0, -1)
  }
}

/** A disk of so many MiB, where only this process sees it. It ends with the process. */
export function mountDisk(path, mebibytes) {
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', path])
}

/** Leaves no byte free, until the returned function is called. */
export function fillDisk(path) {
  const filler = join(path, 'filler')
  const fd = openSync(filler, 'w')
  for (let size = 2 ** 20; size >= 1; size = Math.floor(size / 2)) {
    try {
      while (writeSync(fd, Buffer.alloc(size)) > 0);
    } catch (error) {
      if (error.code !== 'ENOSPC') throw error
    }
  }
  closeSync(fd)
  return () => unlinkSync(filler)
}

export function makeNode(dir, id, options = {}) {
  const quiet = () => undefined
  return createKagami({
    cluster: 'shop',
    dir,
    node: { id },
    stateMachine: () => new Ledger(),
    seams: { logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } },
    ...options,
  })
}

/** What a call came to: its result, or what it was refused with. */
export async function outcome(call) {
  try {
    await call
    return 'done'
  } catch ({ code, retryable, details, message }) {
    return { code, retryable, details, message }
  }
}

/** Polls a condition until it holds. */
export async function eventually(condition, what, timeoutMs = 20_000) {
  const until = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await sleep(5)
  }
}
