// Measures a full placement and single steps at the size of a large cluster. Prints a table, or JSON with --json. Must
// be run on the built package; never asserts, so that a slow machine fails no build.
import { performance } from 'node:perf_hooks'
import { availableParallelism } from 'node:os'
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads'
import { evenPlacement } from '@kagami/placement-even'

const NODES = 1000
const ZONES = 10
const TOKENS = 10_000
const REPLICAS = 2
const REPEATS = 40

const pad = (n) => String(n).padStart(5, '0')
const member = (n, zones = ZONES) => ({
  node: `node-${pad(n)}`,
  zone: `zone-${n % zones}`,
  capacity: 1,
  draining: false,
})
const range = (count) => Array.from({ length: count }, (_, i) => i)
const fresh = (count = TOKENS) =>
  range(count).map((i) => ({
    token: `token-${pad(i)}`,
    replicas: REPLICAS,
    weight: 1,
    current: { primary: null, replicas: [] },
  }))

/** The tokens as a controller would read them: names are other string objects than the members'. */
const settled = (tokens, target) =>
  tokens.map((token) => ({ ...token, current: JSON.parse(JSON.stringify(target.get(token.token))) }))

function moved(tokens, target) {
  let copies = 0
  let primaries = 0
  for (const { token, current } of tokens) {
    const now = target.get(token)
    const before = new Set([current.primary, ...current.replicas])
    for (const node of [now.primary, ...now.replicas]) if (!before.has(node)) copies++
    if (now.primary !== current.primary) primaries++
  }
  return { copies, primaries }
}

function spreadOf(members, target) {
  const copies = new Map(members.map(({ node }) => [node, 0]))
  const primaries = new Map(copies)
  for (const { primary, replicas } of target.values()) {
    primaries.set(primary, primaries.get(primary) + 1)
    for (const node of [primary, ...replicas]) copies.set(node, copies.get(node) + 1)
  }
  const gap = (loads) => Math.max(...loads.values()) - Math.min(...loads.values())
  return { copies: gap(copies), primaries: gap(primaries) }
}

/** The first call ever in a fresh isolate: nothing is compiled yet. */
function measureCold(input) {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: input })
    worker.once('message', resolve)
    worker.once('error', reject)
  })
}

async function measure(name, input, repeats = REPEATS, warmUp = 10) {
  const coldMs = await measureCold(input)
  const times = []
  let target
  for (let i = 0; i < repeats + warmUp; i++) {
    const started = performance.now()
    target = evenPlacement().place(input)
    if (i >= warmUp) times.push(performance.now() - started)
  }
  times.sort((a, b) => a - b)
  return {
    name,
    coldMs,
    samples: times.length,
    medianMs: times[Math.floor(times.length / 2)],
    worstMs: times.at(-1),
    moved: moved(input.tokens, target),
    gap: spreadOf(
      input.members.filter(({ draining }) => !draining),
      target,
    ),
  }
}

async function main() {
  const members = range(NODES).map((n) => member(n))
  const empty = fresh()
  const tokens = settled(empty, evenPlacement().place({ members, tokens: empty }))
  const drained = members.map((one, n) => (n === 500 ? { ...one, draining: true } : one))
  const zoneLost = members.filter(({ zone }) => zone !== 'zone-3')
  const results = [
    await measure('full placement', { members, tokens: empty }, 10, 2),
    await measure('one join', { members: [...members, member(NODES)], tokens }),
    await measure('one leave', { members: members.filter((_, n) => n !== 500), tokens }),
    await measure('one drain', { members: drained, tokens }),
    await measure('nothing changed', { members, tokens }),
    await measure('a zone of 100 lost', { members: zoneLost, tokens }, 10, 2),
  ]
  if (process.argv.includes('--json')) {
    const setting = { nodes: NODES, zones: ZONES, tokens: TOKENS, replicas: REPLICAS, node: process.version }
    console.log(JSON.stringify({ setting, cores: availableParallelism(), results }))
    return
  }
  console.log(`${TOKENS} tokens, ${REPLICAS} replicas, ${NODES} nodes in ${ZONES} zones; node ${process.version}`)
  console.log(`${''.padEnd(19)}  cold ms  median ms  worst ms  copies moved  primaries moved  gaps`)
  for (const { name, coldMs, medianMs, worstMs, moved, gap } of results) {
    const times = `${ms(coldMs, 9)}${ms(medianMs, 11)}${ms(worstMs, 10)}`
    const moves = `${String(moved.copies).padStart(14)}${String(moved.primaries).padStart(17)}`
    console.log(`${name.padEnd(19)}${times}${moves}  ${gap.copies}/${gap.primaries}`)
  }
}

function ms(value, width) {
  return value.toFixed(1).padStart(width)
}

if (isMainThread) await main()
else {
  const started = performance.now()
  evenPlacement().place(workerData)
  parentPort.postMessage(performance.now() - started)
}
