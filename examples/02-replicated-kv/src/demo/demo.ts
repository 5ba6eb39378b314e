/** Runs the demonstration once and says how it ended: what is shown, what is printed, and the exit code. */
import { UsageError } from '../command-line.js'
import { parseOptions, usage, type DemoOptions } from './options.js'
import { screenFor } from './screen.js'
import { Story } from './story.js'
import { judge, type Evidence, type Failure, type Verdict } from './verdict.js'
import { thousands } from './view.js'

const MAX_REASONS = 20

export interface DemoEnvironment {
  readonly args: readonly string[]
  readonly stdout: NodeJS.WriteStream & { readonly fd: number }
  readonly stderr: NodeJS.WriteStream & { readonly fd: number }
  readonly colour: boolean
  readonly signal: AbortSignal
  /** Sees the evidence before it is judged, and may replace it: to watch the verdict fail. @default as it is */
  readonly inspect?: (evidence: Evidence) => Evidence
}

/**
 * Resolves with the exit code: 0 only where everything holds, 1 where something doesn't or the demonstration itself failed, 2 for a
 * wrong command line. Rejects with the signal's reason: who interrupts it wants no verdict.
 */
export async function demo(environment: DemoEnvironment): Promise<number> {
  const { args, stdout, stderr, colour, signal, inspect = (evidence) => evidence } = environment
  let options: DemoOptions
  try {
    options = parseOptions(args)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    stderr.write(`${error.message}\n\n${usage}\n`)
    return 2
  }
  // Standard output is for the verdict alone then.
  const shown = options.json ? stderr : stdout
  let verdict: Verdict | Failure
  try {
    const story = new Story(options, screenFor(shown, colour && shown.isTTY), signal)
    verdict = judge(inspect(await story.run()))
  } catch (error) {
    signal.throwIfAborted()
    verdict = { ok: false, reasons: [`the demo failed: ${error instanceof Error ? error.message : String(error)}`] }
  }
  shown.write(`\n${describe(verdict).join('\n')}\n`)
  if (options.json) stdout.write(`${JSON.stringify(verdict)}\n`)
  return exitCodeOf(verdict)
}

export function exitCodeOf({ ok }: Verdict | Failure): number {
  return ok ? 0 : 1
}

/** For people, at most as wide as the table; a reason may be longer. */
function describe(verdict: Verdict | Failure): readonly string[] {
  const figures = 'acknowledged' in verdict ? describeFigures(verdict) : []
  const reasons = verdict.reasons.slice(0, MAX_REASONS).map((reason) => `! ${reason}`)
  return [...figures, ...reasons, verdict.ok ? 'OK' : 'NOT OK']
}

function describeFigures(verdict: Verdict): readonly string[] {
  const { acknowledged, retried, indeterminate, lost, duplicated, diverged, staleReads, copies, kills } = verdict
  const lines = [
    `${thousands(acknowledged)} writes acknowledged, ${thousands(retried)} by a retry; ${thousands(indeterminate)} of unknown outcome`,
    `${lost} lost, ${duplicated} twice, ${staleReads} stale reads, ${diverged} tokens diverged (${copies} copies compared)`,
  ]
  if (kills > 0) {
    const { failoverMs, longestGapMs, promotions } = verdict
    lines.push(
      `${promotions} promotions, the last ${failoverMs ?? '?'} ms after its kill`,
      `longest time without an acknowledged write ${longestGapMs} ms`,
    )
  }
  return lines
}
