import { expect, test } from 'vitest'
import type { Verdict } from '../../src/demo/verdict.js'
import { eventually } from '../support.js'
import { DemoRun } from './run.js'

const PATIENCE_MS = 180_000
const short = ['--seconds', '8', '--json']

test(
  'a short run loses nothing, doubles nothing, fails over, spreads evenly, and leaves nothing behind',
  { timeout: PATIENCE_MS },
  async () => {
    await using run = new DemoRun(short)
    const { code, stdout, stderr } = await run.ended
    const verdict = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Verdict
    expect(verdict.reasons).toEqual([])
    expect(verdict).toMatchObject({
      ok: true,
      lost: 0,
      duplicated: 0,
      diverged: 0,
      staleReads: 0,
      kills: 1,
      copies: 32,
    })
    expect(verdict.acknowledged).toBeGreaterThan(1000)
    expect(verdict.promotions).toBeGreaterThan(0)
    expect(verdict.failoverMs).toBeGreaterThan(0)
    expect(verdict.spread.copies.max - verdict.spread.copies.min).toBeLessThanOrEqual(1)
    expect(code).toBe(0)
    // Without a terminal there are plain lines, and with --json nothing but the verdict on standard output.
    expect(stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(stderr).not.toContain('\u001b')
    expect(stderr).toMatch(/kill -9 of node/)
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test('two of four nodes are killed, one after the other', { timeout: PATIENCE_MS }, async () => {
  await using run = new DemoRun([
    '--nodes',
    '4',
    '--tokens',
    '6',
    '--replicas',
    '2',
    '--seconds',
    '12',
    '--kills',
    '2',
    '--json',
  ])
  const { code, stdout } = await run.ended
  const verdict = JSON.parse(stdout) as Verdict
  expect(verdict.reasons).toEqual([])
  expect(verdict).toMatchObject({ ok: true, kills: 2, copies: 18 })
  expect(code).toBe(0)
})

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s at once leaves no process and no file',
  { timeout: PATIENCE_MS },
  async (signal) => {
    await using run = new DemoRun(short)
    // Its first line is printed when the node processes have just been started.
    await run.hasSaid('starting')
    run.child.kill(signal)
    const { code } = await run.ended
    expect(code).toBe(signal === 'SIGINT' ? 130 : 143)
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test.each(['nodes hold', 'the clients begin', 'kill -9 of node', 'promoted elsewhere', 'copies rebuilt', 'compared'])(
  'Ctrl-C after "%s" leaves no process and no file',
  { timeout: PATIENCE_MS },
  async (said) => {
    await using run = new DemoRun([...short, '--keys', '200'])
    await run.hasSaid(said)
    run.child.kill('SIGINT')
    // A second one, as impatient people and npm send, changes nothing.
    run.child.kill('SIGINT')
    const { code, stdout } = await run.ended
    expect([code, stdout]).toEqual([130, ''])
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test.each(['starting', 'the clients begin', 'kill -9 of node'])(
  'kill -9 of the demo itself after "%s" leaves no process and no file',
  { timeout: PATIENCE_MS },
  async (said) => {
    await using run = new DemoRun([...short, '--keys', '200'])
    await run.hasSaid(said)
    run.child.kill('SIGKILL')
    await run.ended
    await eventually(() => run.processes().length === 0, 'the nodes end', 20_000)
    expect(run.files()).toEqual([])
  },
)

test.each([
  ['without --json', []],
  ['with --json', ['--json']],
] as const)(
  'where a node does not start the demo says so and ends with exit code 1, %s',
  { timeout: PATIENCE_MS },
  async (_, json) => {
    // Loaded by each process before its program.
    const preload = `if (process.argv[1].endsWith('node-process.js')) throw new Error('no luck today')`
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(preload)}` }
    await using run = new DemoRun(['--seconds', '8', ...json], env)
    const { code, stdout, stderr } = await run.ended
    const reason = /the demo failed: node [abc] ended with 1: [^]*no luck today/
    const shown = json.length > 0 ? stderr : stdout
    expect(shown).toMatch(reason)
    expect(shown).toMatch(/\nNOT OK\n$/)
    if (json.length > 0) expect(JSON.parse(stdout)).toEqual({ ok: false, reasons: [expect.stringMatching(reason)] })
    expect(code).toBe(1)
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test(
  'where a node dies that nobody has killed, the last line is a verdict with the reason',
  { timeout: PATIENCE_MS },
  async () => {
    await using run = new DemoRun(short)
    await run.hasSaid('the clients begin')
    const [node] = run.processes().filter((pid) => pid !== run.child.pid)
    process.kill(node!, 'SIGKILL')
    const { code, stdout } = await run.ended
    const reasons = [expect.stringMatching(/^the demo failed: node [abc] ended with SIGKILL/)]
    expect(JSON.parse(stdout)).toEqual({ ok: false, reasons })
    expect(code).toBe(1)
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test('a wrong option is refused with exit code 2, and nothing is started', async () => {
  await using run = new DemoRun(['--nodes', 'three'])
  const { code, stderr } = await run.ended
  expect(code).toBe(2)
  expect(stderr).toContain('--nodes is three; expected a whole number')
  expect(run.files()).toEqual([])
})
