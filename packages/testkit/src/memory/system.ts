/** Real time and real chance, as the seams of the contract. Holds no state besides the timers that it was asked for. */
import { randomBytes } from 'node:crypto'
import type { Clock, Random, Timer } from '@kagami/core/contract'

/** The longest delay that a timer of Node.js takes; a longer one fires at once. */
const longestTimerMs = 2_147_483_647

/** The process's own clock. Its timers never keep the process alive. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    timer: (delayMs, callback) => startTimer(delayMs, callback),
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  }
}

/** The system's random numbers. */
export function systemRandom(): Random {
  return {
    uint64: () => randomBytes(8).readBigUInt64BE(),
    fraction: () => Math.random(),
  }
}

function startTimer(delayMs: number, callback: () => void): Timer {
  const due = performance.now() + delayMs
  let handle: NodeJS.Timeout | undefined
  const arm = (): void => {
    // Node rounds delays down, so a timer may come up to a millisecond early: it is then armed once more.
    const remaining = due - performance.now()
    handle = setTimeout(fire, Math.min(Math.max(Math.ceil(remaining), 0), longestTimerMs))
    handle.unref()
  }
  const fire = (): void => {
    if (due - performance.now() > 0) arm()
    else callback()
  }
  arm()
  return { cancel: () => clearTimeout(handle) }
}
