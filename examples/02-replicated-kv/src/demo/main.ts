/** The command `npm run demo`. Ends with nothing left behind, also when it is interrupted. */
import { constants } from 'node:os'
import { demo } from './demo.js'

class Interrupted extends Error {
  readonly exitCode: number

  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`)
    this.exitCode = 128 + constants.signals[signal]
  }
}

const interruption = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interruption.abort(new Interrupted(signal)))
}
// Whoever reads the output may end first.
for (const out of [process.stdout, process.stderr]) {
  out.on('error', () => interruption.abort(new Interrupted('SIGHUP')))
}

try {
  process.exitCode = await demo({
    args: process.argv.slice(2),
    stdout: process.stdout,
    stderr: process.stderr,
    colour: process.env['NO_COLOR'] === undefined,
    signal: interruption.signal,
  })
} catch (error) {
  const interrupted = error instanceof Interrupted
  process.stderr.write(interrupted ? '\ninterrupted; nothing is left behind\n' : `the demo failed: ${String(error)}\n`)
  process.exitCode = interrupted ? error.exitCode : 1
}
process.exit()
