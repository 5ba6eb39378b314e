import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'

const program = fileURLToPath(new URL('../main.mjs', import.meta.url))
let folder
let dir
/** What the benchmarks take for the system's folder for temporary files. */
let temporary
const children = []
const workers = new Set()

beforeEach(() => {
  folder = mkdtempSync(join(realpathSync(tmpdir()), 'kagami-bench-test-'))
  dir = join(folder, 'dir')
  temporary = join(folder, 'temporary')
  for (const path of [dir, temporary]) mkdirSync(path)
})

afterEach(async () => {
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill('SIGKILL')
    await once(child, 'close')
  }
  // None is left, unless a test has found that one was.
  for (const pid of workers) if (isAlive(pid)) process.kill(pid, 'SIGKILL')
  workers.clear()
  rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 })
})

function start(...args) {
  const child = spawn(process.execPath, [program, '--dir', dir, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: temporary },
  })
  children.push(child)
  const output = { out: '', err: '' }
  child.stdout.on('data', (chunk) => (output.out += chunk))
  child.stderr.on('data', (chunk) => (output.err += chunk))
  const closed = once(child, 'close').then(([code]) => ({ code, ...output }))
  return { child, output, closed }
}

test('--json ends standard output with one line that holds the machine and figures with their numbers of samples', async () => {
  const { code, out, err } = await start('--quick', '--json', '--only', 'handover').closed
  expect(code, err).toBe(0)
  const { machine, rows, failures } = JSON.parse(out.trimEnd().split('\n').at(-1))
  expect(failures).toEqual([])
  expect(machine).toMatchObject({ node: process.versions.node, cores: expect.any(Number), onDisk: expect.any(Boolean) })
  expect(rows.map(({ id }) => id)).toEqual(['handover'])
  expect(rows[0].samples).toBe(rows[0].figures.gapsMs.length)
  expect(rows[0].samples).toBeGreaterThan(0)
  expect(readdirSync(dir)).toEqual([])
})

test('--markdown shows the same as a table of markdown', async () => {
  const { code, out, err } = await start('--quick', '--markdown', '--only', 'handover').closed
  expect(code, err).toBe(0)
  expect(out).toMatch(/^\| measured \|.*\n\| --- \|.*\n\| longest pause of writes around a handover \| p50 /)
})

test('a benchmark that can not measure fails the run, and is named', async () => {
  const { child, closed } = start('--json', '--only', 'handover')
  const [victim] = await workersOf(child, 2)
  process.kill(victim, 'SIGKILL')
  const { code, out } = await closed
  expect(code).toBe(1)
  const { rows, failures } = JSON.parse(out.trimEnd().split('\n').at(-1))
  expect(rows).toEqual([])
  expect(failures).toMatchObject([{ name: 'handover', error: expect.stringMatching(/worker . has ended .SIGKILL./) }])
})

test('an option that is wrong is named, with what would be right', async () => {
  const { code, err } = await start('--only', 'nonsense').closed
  expect(code).toBe(2)
  expect(err).toContain('--only nonsense')
  expect(err).toContain('throughput')
})

test.each(['SIGINT', 'SIGTERM'])('%s leaves no process and no file', async (signal) => {
  const { child, output, closed } = start('--only', 'failover')
  const pids = await workersOf(child, 3)
  child.kill(signal)
  const { code } = await closed
  expect(code, output.err).toBe(signal === 'SIGINT' ? 130 : 143)
  expect(pids.filter(isAlive)).toEqual([])
  expect(readdirSync(dir)).toEqual([])
  expectNoneElsewhere()
})

test('kill -9 of the benchmarks leaves no process, and no file outside of its folder', async () => {
  const { child, closed } = start('--only', 'failover')
  const pids = await workersOf(child, 3)
  child.kill('SIGKILL')
  await closed
  await eventually(() => !pids.some(isAlive))
  expectNoneElsewhere()
})

/** Sockets, say. Other systems than Linux can't have them in a folder whose path is long. */
function expectNoneElsewhere() {
  if (process.platform === 'linux') expect(readdirSync(temporary)).toEqual([])
}

/** The processes of a benchmark's workers, as soon as there are so many. */
async function workersOf(main, count) {
  let pids = []
  await eventually(() => {
    const all = processes()
    const benchmarks = all.filter(({ parent }) => parent === main.pid).map(({ pid }) => pid)
    pids = all.filter(({ parent }) => benchmarks.includes(parent)).map(({ pid }) => pid)
    for (const pid of pids) workers.add(pid)
    return pids.length >= count
  })
  return pids
}

function processes() {
  if (process.platform !== 'linux') {
    const lines = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
    return lines.map((line) => line.trim().split(/\s+/).map(Number)).map(([pid, parent]) => ({ pid, parent }))
  }
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        // The name, in brackets, may hold blanks.
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return state === 'Z' ? [] : [{ pid: Number(pid), parent: Number(parent) }]
      } catch {
        // It has ended meanwhile.
        return []
      }
    })
}

function isAlive(pid) {
  return processes().some((one) => one.pid === pid)
}

/** Nothing tells when another process starts a third, or ends it, so it is looked for. */
async function eventually(holds) {
  const until = performance.now() + 20_000
  while (!holds()) {
    if (performance.now() > until) throw new Error('it did not come true within 20 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
