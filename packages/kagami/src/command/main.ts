#!/usr/bin/env node
/** The `kagami` command: gives the command line to `run`, ends with its exit code, and passes on what interrupts it. */
import { run } from './run.js'

const interrupt = new AbortController()
for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  // Once: who asks again does not want to wait.
  process.once(signal, () => interrupt.abort(exitCode))
}
// Whoever reads the output may leave before its end.
process.stdout.on('error', () => interrupt.abort(1))

process.exitCode = await run(process.argv.slice(2), process, interrupt.signal)
