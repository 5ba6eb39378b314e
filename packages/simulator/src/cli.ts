#!/usr/bin/env node
/** Runs seeds from a terminal: `--seed N` prints one run's timeline, `--seeds N` runs many and prints those that break a promise. */
import { parseArgs } from 'node:util'
import { simulate, type SimulateResult } from './simulate.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    seeds: { type: 'string' },
    from: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    tokens: { type: 'string' },
    seconds: { type: 'string' },
    faults: { type: 'string' },
    quiet: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

const usage = `Simulates whole Kagami clusters, with faults, and checks every promise.

  --seed N      one seed, with its timeline (--quiet: without)
  --seeds N     N seeds, from --from (1), and the timeline of the first that breaks a promise
  --faults LIST how often faults happen, as factors: all=0,crash=2 (by the seed)
  --nodes N     nodes (3)      --tokens N   tokens (3 or 4)      --seconds N   virtual seconds with faults (20)
`

const shape = {
  ...(values.nodes === undefined ? {} : { nodes: Number(values.nodes) }),
  ...(values.tokens === undefined ? {} : { tokens: Number(values.tokens) }),
  ...(values.seconds === undefined ? {} : { seconds: Number(values.seconds) }),
  ...(values.faults === undefined ? {} : { faults: factors(values.faults) }),
}

function factors(list: string): Record<string, number> {
  return Object.fromEntries(
    list.split(',').map((pair) => {
      const [kind = '', factor] = pair.split('=')
      return [kind, Number(factor)]
    }),
  )
}

function show({ seed, traceHash, violations, counts, timeline }: SimulateResult, withTimeline: boolean): void {
  if (withTimeline) for (const line of timeline) console.log(line)
  for (const { promise, atMs, message } of violations)
    console.log(`${promise} broken at ${atMs.toFixed(1)} ms: ${message}`)
  console.log(`seed ${seed}: ${violations.length} violations, trace ${traceHash.slice(0, 16)}`)
  console.log(table(counts))
}

function table(counts: Readonly<Record<string, number>>): string {
  const names = Object.keys(counts).sort()
  return names.map((name) => `  ${name.padEnd(28)} ${String(counts[name]).padStart(9)}`).join('\n')
}

async function many(count: number, from: number): Promise<void> {
  const sums: Record<string, number> = {}
  const broken: SimulateResult[] = []
  const started = process.hrtime.bigint()
  for (let seed = from; seed < from + count; seed++) {
    const result = await simulate({ seed, ...shape })
    for (const [name, value] of Object.entries(result.counts)) sums[name] = (sums[name] ?? 0) + value
    const [first] = result.violations
    if (first === undefined) continue
    broken.push(result)
    console.log(`seed ${seed}: ${first.promise} broken at ${first.atMs.toFixed(1)} ms: ${first.message.split('\n')[0]}`)
  }
  const tookMs = Number(process.hrtime.bigint() - started) / 1e6
  const [first] = broken
  if (first !== undefined && !values.quiet) show(first, true)
  console.log(table(sums))
  console.log(`${count} seeds, ${broken.length} with violations, ${(tookMs / count).toFixed(1)} ms each`)
  process.exitCode = broken.length > 0 ? 1 : 0
}

if (values.help || (values.seed === undefined && values.seeds === undefined)) console.log(usage)
else if (values.seeds !== undefined) await many(Number(values.seeds), Number(values.from))
else {
  const result = await simulate({ seed: Number(values.seed), ...shape })
  show(result, !values.quiet)
  process.exitCode = result.violations.length > 0 ? 1 : 0
}
