/** Checks in processes of their own that memory is bounded by the limits, and not by how fast the writer is or how long the log. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

interface Memory {
  /** Heap and buffers that are in use after a collection, in bytes. */
  readonly used: number
  readonly resident: number
}

interface Look extends Memory {
  /** Bytes of all files in the folder. */
  readonly disk: number
  readonly snapshots: number
}

interface Overload {
  readonly waiting: number
  readonly outcomes: {
    readonly acknowledged: number
    readonly KAGAMI_OVERLOADED: number
    readonly refusal: unknown
  }
  readonly applied: number
  readonly before: Memory
  readonly full: Memory
  readonly after: Memory
}

const MIB = 2 ** 20

/** The limits that hold where none are given, as the documentation of `LimitOptions` says. */
const limits = { inFlightEntries: 4096, inFlightBytes: 8 * MIB, waiting: 65_536, waitingBytes: 64 * MIB }

/** What a call costs besides its bytes: promises, closures, the entry. */
const CALL_BYTES = 1536

/** What the collector and the allocator leave lying about: on newer versions of Node the young generation alone may take this. */
const SLACK_BYTES = 192 * MIB

/** For machines that are busy with other things. */
const PATIENCE_MS = 300_000

/** Runs the child with so small a heap that it dies of what it should not keep. */
async function run<T>(child: string, heapMiB: number, ...args: readonly number[]): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'kagami-memory-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const script = fileURLToPath(new URL(`./children/${child}`, import.meta.url))
  const command = ['--expose-gc', `--max-old-space-size=${heapMiB}`, script, dir, ...args.map(String)]
  const { stdout } = await promisify(execFile)(process.execPath, command, {
    timeout: PATIENCE_MS,
    killSignal: 'SIGKILL',
  })
  return JSON.parse(stdout) as T
}

/** What came above the limits was refused for certain, and what was taken cost no more than the limits allow. */
function expectBounded({ outcomes, applied, before, full, after }: Overload, calls: number, allowed: number): void {
  expect(outcomes.refusal).toMatchObject({
    code: 'KAGAMI_OVERLOADED',
    retryable: true,
    message: expect.stringMatching(/wait/),
  })
  expect(outcomes.acknowledged + outcomes.KAGAMI_OVERLOADED).toBe(calls)
  expect(applied, 'entries that were refused are not applied').toBe(outcomes.acknowledged)
  expect(full.used - before.used).toBeLessThan(allowed)
  expect(full.resident - before.resident).toBeLessThan(allowed + SLACK_BYTES)
  expect(after.used - before.used).toBeLessThan(4 * MIB)
}

test(
  'small entries that come faster than the log takes them are refused above the limits',
  async () => {
    const calls = 200_000
    const bytes = 100
    const result = await run<Overload>('overload.mjs', 160, calls, bytes)
    const taken = limits.inFlightEntries + limits.waiting
    expect(result.waiting).toBeGreaterThan(limits.inFlightEntries)
    expect(result.waiting).toBeLessThanOrEqual(taken)
    expectBounded(result, calls, taken * (bytes + CALL_BYTES))
  },
  PATIENCE_MS,
)

test(
  'large entries that come faster than the log takes them are refused above the limits in bytes',
  async () => {
    const calls = 4_000
    const bytes = 64 * 1024
    const result = await run<Overload>('overload.mjs', 160, calls, bytes)
    const taken = (limits.inFlightBytes + limits.waitingBytes) / bytes
    expect(calls).toBeGreaterThan(3 * taken)
    expect(result.waiting).toBeGreaterThan(limits.inFlightBytes / bytes)
    expect(result.waiting).toBeLessThanOrEqual(taken)
    // What is in flight is kept twice: as entries, and encoded in frames.
    expectBounded(result, calls, taken * (bytes + CALL_BYTES) + limits.inFlightBytes)
  },
  PATIENCE_MS,
)

test(
  'a million entries, applied by a primary and a replica, leave neither memory nor disk behind them',
  async () => {
    const entries = 1_000_000
    const bytes = 100
    const everyEntries = 50_000
    const { applied, looks, problems } = await run<{
      applied: number[]
      looks: Look[]
      problems: string[]
    }>('long-log.mjs', 64, entries, bytes, everyEntries)
    expect({ applied, problems }).toEqual({ applied: [entries, entries], problems: [] })
    const [quarter, half, end] = looks as [Look, Look, Look]
    for (const later of [half, end]) {
      // A hundred bytes kept by frame would be more, or three kept by entry.
      expect(later.used - quarter.used).toBeLessThan(2 * MIB)
      expect(later.resident - quarter.resident).toBeLessThan(32 * MIB)
    }
    // Two snapshots are kept, and a third is being taken; the log's files go as a whole, of 8 MiB each.
    const allowed = 4 * everyEntries * (bytes + 10) + 2 * 8 * MIB
    expect(allowed).toBeLessThan((entries * bytes) / 2)
    for (const { disk, snapshots } of looks) {
      expect(disk).toBeLessThan(allowed)
      expect(snapshots).toBeGreaterThanOrEqual(2)
      // The two that are kept, one that is new, and one that is not yet deleted.
      expect(snapshots).toBeLessThanOrEqual(4)
    }
  },
  PATIENCE_MS,
)
