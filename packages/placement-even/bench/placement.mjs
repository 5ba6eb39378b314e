// Measures a full placement and single steps at the size of a large cluster. Prints a table, or JSON with --json. Must
// be run on the built package; never asserts, so that a slow machine fails no build.
import { performance } from 'node:perf_hooks'
import { availableParallelism } from 'node:os'
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

function measure(name, input, repeats = REPEATS, warmUp = 10) {
  const times = []
  let target
  for (let i = 0; i < repeats + warmUp; i++) {
    const started = performance.now()
    target = evenPlacement().place(input)
    times.push(performance.now() - started)
  }
  const warm = times.slice(warmUp).sort((a, b) => a - b)
  return {
    name,
    firstMs: times[0],
    medianMs: warm[Math.floor(warm.length / 2)],
    worstMs: warm.at(-1),
    moved: moved(input.tokens, target),
    gap: spreadOf(input.members, target),
  }
}

const members = range(NODES).map((n) => member(n))
const empty = fresh()
const started = performance.now()
const placed = evenPlacement().place({ members, tokens: empty })
const coldFullMs = performance.now() - started
const tokens = settled(empty, placed)

const joined = [...members, member(NODES)]
const left = members.filter((_, n) => n !== 500)
const drained = members.map((one, n) => (n === 500 ? { ...one, draining: true } : one))
const zoneLost = members.filter(({ zone }) => zone !== 'zone-3')
const results = [
  measure('one join', { members: joined, tokens }),
  measure('one leave', { members: left, tokens }),
  measure('one drain', { members: drained, tokens }),
  measure('nothing changed', { members, tokens }),
  measure('a zone of 100 lost', { members: zoneLost, tokens }, 5, 1),
  measure('full placement', { members, tokens: empty }, 5, 1),
]
const cold = results.at(-1)
cold.firstMs = coldFullMs

if (process.argv.includes('--json')) {
  const setting = { nodes: NODES, zones: ZONES, tokens: TOKENS, replicas: REPLICAS, node: process.version }
  console.log(JSON.stringify({ setting, cores: availableParallelism(), results }))
} else {
  console.log(`${TOKENS} tokens, ${REPLICAS} replicas, ${NODES} nodes in ${ZONES} zones; node ${process.version}`)
  console.log('                       first ms  median ms  worst ms  copies moved  primaries moved  gaps')
  for (const { name, firstMs, medianMs, worstMs, moved, gap } of results) {
    const times = [firstMs, medianMs, worstMs].map((ms) => ms.toFixed(1).padStart(10)).join('')
    const moves = `${String(moved.copies).padStart(14)}${String(moved.primaries).padStart(17)}`
    console.log(`${name.padEnd(21)}${times}${moves}  ${gap.copies}/${gap.primaries}`)
  }
}
