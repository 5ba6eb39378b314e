/**
 * `npm run bench`: runs the benchmarks one after the other and shows what came out. Measures, never judges: only a benchmark that
 * could not measure makes it fail.
 */
import { fork } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describeMachine, machineLine, othersPercent } from './lib/machine.mjs'
import { readOptions, usage } from './lib/options.mjs'
import { markdownTable, textTable } from './lib/report.mjs'

const names = [
  'throughput',
  'latency',
  'failover',
  'frozen',
  'handover',
  'snapshot',
  'placement',
  'tokens',
  'idle',
  'memory',
]
const benchmarks = await Promise.all(
  names.map(async (name) => {
    const { about, long = false } = await import(`./measure/${name}.mjs`)
    return { name, about, long }
  }),
)
const program = fileURLToPath(new URL('bench-process.mjs', import.meta.url))
const deadlineMs = 5 * 60_000
const graceMs = 3000
/** Above this share of the machine, what others do is told to distort the figures. */
const busyPercent = 25

let options
try {
  options = readOptions(process.argv.slice(2), names)
} catch (error) {
  console.error(`${error.message}\n\n${usage(benchmarks)}`)
  process.exit(2)
}
if (options.help) {
  console.log(usage(benchmarks))
  process.exit(0)
}

// One folder holds everything, so that one call takes all of it away.
if (options.dir !== undefined) mkdirSync(options.dir, { recursive: true })
const root = mkdtempSync(join(realpathSync(options.dir ?? tmpdir()), 'kagami-bench-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }))
let running
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, async () => {
    await running?.stop()
    process.exit(128 + constants.signals[signal])
  })
}

const machine = describeMachine(root)
const progress = (line) => process.stderr.write(`${line}\n`)
progress(machineLine(machine))
if (!machine.onDisk) progress('The folder lies in memory, so syncs cost nothing here: name another one with --dir.')
const rows = []
const failures = []
const others = []
for (const { name, long } of benchmarks) {
  if (options.only === undefined ? long && !options.long : !options.only.includes(name)) continue
  const busy = await othersPercent()
  if (busy !== undefined) others.push(busy)
  progress(`… ${name}${busy === undefined ? '' : ` (others use ${busy.toFixed(0)} % of the machine now)`}`)
  running = start(name)
  const { rows: measured = [], error } = await running.outcome
  if (error !== undefined) failures.push({ name, error })
  else if (measured.length === 0 || measured.some(({ samples }) => !(samples > 0))) {
    failures.push({ name, error: 'nothing was measured' })
  }
  rows.push(...measured)
}
show()
process.exitCode = failures.length > 0 || rows.length === 0 ? 1 : 0

/** Starts a benchmark's process. Its outcome never rejects. */
function start(name) {
  const dir = join(root, name)
  mkdirSync(dir)
  // Its output is not ours to mix into the table.
  const child = fork(program, [name, dir, options.quick ? 'quick' : 'full'], { stdio: ['ignore', 2, 2, 'ipc'] })
  let answer
  child.on('message', (message) => (answer = message))
  const stop = async () => {
    child.kill('SIGTERM')
    const force = setTimeout(() => child.kill('SIGKILL'), graceMs)
    await outcome
    clearTimeout(force)
  }
  const deadline = setTimeout(() => {
    answer = { error: `it did not end within ${deadlineMs / 60_000} minutes` }
    void stop()
  }, deadlineMs)
  const outcome = new Promise((resolve) => {
    child.once('close', (code, signal) => {
      clearTimeout(deadline)
      rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
      resolve(answer ?? { error: `its process ended early (${signal ?? code})` })
    })
  })
  return { outcome, stop }
}

function show() {
  const load = others.length === 0 ? [] : [...others].sort((a, b) => a - b)
  const busy = load.length === 0 ? undefined : { median: load[load.length >> 1], max: load[load.length - 1] }
  if (rows.length > 0) {
    const lines = options.markdown ? [markdownTable(rows), ''] : [textTable(rows), '']
    lines.push(machineLine(machine))
    if (busy !== undefined) {
      lines.push(
        `Other programs used ${busy.median.toFixed(0)} % of the machine between the benchmarks, ${busy.max.toFixed(0)} % at most.`,
      )
      if (busy.median > busyPercent) {
        lines.push(
          'So the ratios may be off either way: a program that blocks loses its turn at other moments than one that waits.',
        )
      }
    }
    for (const { id, notes = [] } of rows)
      for (const note of notes) lines.push(`${options.markdown ? '- ' : ''}${id}: ${note}`)
    if (!options.json || options.markdown) console.log(lines.join('\n'))
    else progress(lines.join('\n'))
  }
  for (const { name, error } of failures) progress(`${name} FAILED: ${error}`)
  if (options.json) console.log(JSON.stringify({ machine, othersPercent: busy, rows, failures }))
}
