/**
 * The seams of a real process: the system's clock, chance and console. The only file of core that touches them.
 */
import { randomFillSync } from 'node:crypto'
import type { Clock, Logger, Metrics, Random, Seams, Timer } from '../contract/index.js'

/** Seams for production. The logger writes warnings and errors to the console; metrics go nowhere. */
export function systemSeams(): Seams {
  return { clock: systemClock(), random: systemRandom(), logger: consoleLogger(), metrics: noMetrics() }
}

/** The system's clocks and timers. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    timer(delayMs, callback, options = {}): Timer {
      // Longer delays overflow the platform's timers, which then fire at once.
      const handle = setTimeout(callback, Math.min(delayMs, 2 ** 31 - 1))
      if (options.keepsAlive !== true) handle.unref()
      return { cancel: () => clearTimeout(handle) }
    },
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  }
}

/** Cryptographic chance for nonces, drawn in blocks. */
export function systemRandom(): Random {
  const block = Buffer.alloc(512)
  let at = block.length
  return {
    uint64() {
      if (at === block.length) {
        randomFillSync(block)
        at = 0
      }
      at += 8
      return block.readBigUInt64BE(at - 8)
    },
    fraction: () => Math.random(),
  }
}

function consoleLogger(): Logger {
  return {
    debug: () => undefined,
    info: () => undefined,
    warn: (message, fields) => console.warn(`kagami: ${message}`, ...(fields === undefined ? [] : [fields])),
    error: (message, fields) => console.error(`kagami: ${message}`, ...(fields === undefined ? [] : [fields])),
  }
}

function noMetrics(): Metrics {
  return { count: () => undefined, gauge: () => undefined, observe: () => undefined }
}
