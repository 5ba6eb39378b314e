/** A clock that stands still until it is told to go on, so that a test decides when a timeout passes. */
import type { Clock } from '@kagami/core/contract'

export interface VirtualClock extends Clock {
  /** Lets so much time pass, and whatever waits for it happen, in order. */
  advance(ms: number): Promise<void>
  /** Timers that are armed. */
  readonly armed: number
}

export function virtualClock(): VirtualClock {
  let nowMs = 0
  const timers = new Set<{ readonly dueMs: number; readonly callback: () => void }>()
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  }
  return {
    now: () => 1_700_000_000_000 + nowMs,
    monotonicMs: () => nowMs,
    timer: (delayMs, callback) => {
      const timer = { dueMs: nowMs + delayMs, callback }
      timers.add(timer)
      return { cancel: () => void timers.delete(timer) }
    },
    yield: async () => undefined,
    get armed() {
      return timers.size
    },
    advance: async (ms) => {
      const untilMs = nowMs + ms
      for (;;) {
        const next = [...timers].sort((a, b) => a.dueMs - b.dueMs)[0]
        if (next === undefined || next.dueMs > untilMs) break
        timers.delete(next)
        nowMs = next.dueMs
        next.callback()
        await settle()
      }
      nowMs = untilMs
      await settle()
    },
  }
}
