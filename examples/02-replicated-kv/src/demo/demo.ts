/** Runs the demonstration once and says how it ended: what is shown, what is printed, and the exit code. */
import { parseOptions, usage, UsageError, type DemoOptions } from './options.js'
import { screenFor } from './screen.js'
import { Story } from './story.js'
import { judge, type Evidence, type Verdict } from './verdict.js'
import { thousands } from './view.js'

export interface DemoEnvironment {
  readonly args: readonly string[]
  readonly stdout: NodeJS.WriteStream & { readonly fd: number }
  readonly stderr: NodeJS.WriteStream & { readonly fd: number }
  readonly colour: boolean
  readonly signal: AbortSignal
  /** Sees the evidence before it is judged, and may replace it: to watch the verdict fail. @default as it is */
  readonly inspect?: (evidence: Evidence) => Evidence
}

/** Resolves with the exit code: 0 only where everything holds, 2 for a wrong command line. Rejects with the signal's reason. */
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
  const story = new Story(options, screenFor(shown, colour && shown.isTTY), signal)
  const verdict = judge(inspect(await story.run()))
  shown.write(`\n${describe(verdict).join('\n')}\n`)
  if (options.json) stdout.write(`${JSON.stringify(verdict)}\n`)
  return exitCodeOf(verdict)
}

export function exitCodeOf({ ok }: Verdict): number {
  return ok ? 0 : 1
}

function describe(verdict: Verdict): readonly string[] {
  const { ok, acknowledged, retried, indeterminate, lost, duplicated, diverged, staleReads, copies, kills } = verdict
  const lines = [
    `${thousands(acknowledged)} writes acknowledged, ${thousands(retried)} of them by a retry; ${thousands(indeterminate)} of unknown outcome`,
    `${lost} lost, ${duplicated} twice, ${diverged} of the tokens diverged (${copies} copies compared), ${staleReads} stale reads`,
  ]
  if (kills > 0) {
    const { failoverMs, longestGapMs, promotions } = verdict
    lines.push(
      `${promotions} promotions, the last ${failoverMs ?? '?'} ms after its kill; longest time without an acknowledged write ${longestGapMs} ms`,
    )
  }
  return [...lines, ...verdict.reasons.slice(0, 20).map((reason) => `! ${reason}`), ok ? 'OK' : 'NOT OK']
}
