/** What happened in a run, for people and for comparison: the timeline, the counts, and the violations. Decides nothing. */
import { isKagamiError } from '@kagami/core/contract'

/** A broken promise. `promise` is S1 to S10 of ARCHITECTURE.md, or L for liveness. */
export interface Violation {
  /** Which one: 'S1' to 'S10', 'L', or 'BUG' for what should never happen. */
  readonly promise: string
  /** When it was seen, in virtual milliseconds since the run began. */
  readonly atMs: number
  /** What was seen, for people. */
  readonly message: string
}

/** The timeline's bound: what comes after that is counted, not kept. */
const maxLines = 50_000
const maxViolations = 20

export class Trace {
  readonly violations: Violation[] = []
  readonly counts: Record<string, number> = {}
  readonly lines: string[] = []
  nowMs: () => number = () => 0

  count(name: string, by = 1): void {
    this.counts[name] = (this.counts[name] ?? 0) + by
  }

  add(who: string, text: string): void {
    if (this.lines.length < maxLines)
      this.lines.push(`${this.nowMs().toFixed(1).padStart(9)}  ${who.padEnd(7)} ${text}`)
  }

  /** A warning or an error of a node. An admitted bug is a violation, whatever came of it. */
  log(who: string, level: string, message: string, error: unknown): void {
    this.add(who, `${level}: ${message}${error === undefined ? '' : ` (${describe(error)})`}`)
    if (isKagamiError(error, 'KAGAMI_BUG')) this.violation('BUG', `${who}: ${message}: ${describe(error)}`)
    else if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
      this.violation('BUG', `${who}: ${message}: ${error.stack ?? String(error)}`)
    }
  }

  violation(promise: string, message: string): void {
    this.add('!!', `${promise}: ${message}`)
    if (this.violations.length < maxViolations) this.violations.push({ promise, atMs: this.nowMs(), message })
  }
}

export function describe(error: unknown): string {
  if (isKagamiError(error)) return `${error.code}: ${error.message.slice(0, 200)}`
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}
