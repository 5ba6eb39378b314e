/** Entries to apply and snapshots to carry over, for the suite of `StateMachine`. */
import type { Entry, RestoreInfo, StateMachine, StateSnapshot } from '@kagami/core/contract'

export function entryOf<C>(i: number, value: C): Entry<C> {
  return {
    token: 'orders',
    position: { incarnation: 1, index: i },
    value,
    timeMs: 1_700_000_000_000 + i,
    level: 0,
  }
}

/** Runs something synchronous while clock and chance say other things than before. */
export function withChangedWorld<T>(run: () => T): T {
  const real = { Date: globalThis.Date, random: Math.random, now: performance.now.bind(performance) }
  const shiftMs = 400 * 24 * 3600 * 1000
  class ShiftedDate extends real.Date {
    constructor(...parts: readonly unknown[]) {
      if (parts.length === 0) super(real.Date.now() + shiftMs)
      else super(...(parts as [number]))
    }
    static override now(): number {
      return real.Date.now() + shiftMs
    }
  }
  globalThis.Date = ShiftedDate as DateConstructor
  Math.random = () => 1 - real.random() / 2
  performance.now = () => real.now() + shiftMs
  try {
    return run()
  } finally {
    globalThis.Date = real.Date
    Math.random = real.random
    // The original is on the prototype: without an own one it shows through again.
    delete (performance as { now?: unknown }).now
  }
}

/** All bytes of a capture, which is released. */
export async function persisted(snapshot: StateSnapshot, signal: AbortSignal): Promise<Uint8Array> {
  try {
    const chunks: Uint8Array[] = []
    // A copy of each, before the next is asked for: a machine that uses one buffer again is found out elsewhere.
    for await (const chunk of snapshot.persist({ signal })) chunks.push(chunk.slice())
    return Buffer.concat(chunks)
  } finally {
    snapshot.release()
  }
}

export async function restored<R, C>(
  machine: StateMachine<R, C>,
  bytes: Uint8Array,
  next: number,
  chunkBytes = 65_536,
): Promise<StateMachine<R, C>> {
  const info: RestoreInfo = {
    token: 'orders',
    next: { incarnation: 1, index: next },
    schemaVersion: machine.schemaVersion ?? 0,
  }
  await machine.restore(inChunks(bytes, chunkBytes), info)
  return machine
}

export async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.slice(at, at + size)
}
