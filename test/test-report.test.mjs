/** Runs real suites through vitest, and checks what the summary of `npm test` makes of their reports. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { testFiles } from '../scripts/lib/repository.mjs'
import { countLine, readReport, renderSummary, summarize } from '../scripts/lib/test-report.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'kagami-tooling-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let made = 0

/** Runs vitest on the files under the shared settings, as a package of its own; its report, and whether vitest ended well. */
function suite(files) {
  const name = `@made/up-${(made += 1)}`
  const at = join(folder, String(made))
  mkdirSync(join(at, 'test'), { recursive: true })
  writeFileSync(join(at, 'package.json'), JSON.stringify({ name, type: 'module' }))
  writeFileSync(
    join(at, 'vitest.config.mjs'),
    `import { sharedConfig } from ${JSON.stringify(join(root, 'vitest.shared.mjs'))}
export default sharedConfig(import.meta.url, { globals: true })`,
  )
  for (const [file, code] of Object.entries(files)) writeFileSync(join(at, 'test', file), code)
  const { status } = spawnSync(process.execPath, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', '--root', at], {
    env: { ...process.env, KAGAMI_TEST_REPORTS: folder },
  })
  const report = readReport(folder, name, testFiles(at))
  return { report, totals: summarize([report], status === 0) }
}

describe('the counts of npm test', () => {
  test('are those of the tests that ran', () => {
    const { totals } = suite({
      'a.test.mjs': `test('a', () => {})\ntest('b', () => {})`,
      'b.test.mjs': `test('c', () => {})`,
    })
    expect(countLine(totals)).toBe('3 passed, 0 failed')
  })

  test('name each failing test with its message', () => {
    const { report, totals } = suite({
      'a.test.mjs': `test('a', () => {})\ntest('keeps its promise', () => { expect(1).toBe(2) })`,
    })
    expect(countLine(totals)).toBe('1 passed, 1 failed')
    expect(renderSummary([report], totals.failures)).toMatch(
      /FAILED .*a\.test\.mjs > keeps its promise[^]*expected 1 to be 2/,
    )
  })

  test('show what was skipped', () => {
    const { totals } = suite({ 'a.test.mjs': `test('a', () => {})\ntest.skip('b', () => {})\ntest.todo('c')` })
    expect(countLine(totals)).toBe('1 passed, 0 failed, 2 skipped')
  })

  test('hold a file that can not be loaded as a failure', () => {
    const { totals } = suite({ 'a.test.mjs': `test('a', () => {})`, 'b.test.mjs': `throw new Error('no such thing')` })
    expect(countLine(totals)).toBe('1 passed, 1 failed')
    expect(totals.failures[0].message).toContain('no such thing')
  })

  test('hold a hook that fails after the tests as a failure', () => {
    const { totals } = suite({ 'a.test.mjs': `afterAll(() => { throw new Error('left open') })\ntest('a', () => {})` })
    expect(countLine(totals)).toBe('1 passed, 1 failed')
  })

  test('hold an error that no test caught as a failure', () => {
    const { totals } = suite({
      'a.test.mjs': `test('a', async () => { Promise.reject(new Error('nobody waits')); await new Promise((r) => setImmediate(r)) })`,
    })
    expect(countLine(totals)).toBe('1 passed, 1 failed')
  })

  test('hold a package in which no test ran as a failure', () => {
    expect(countLine(suite({ 'a.test.mjs': `export {}` }).totals)).toBe('0 passed, 1 failed')
    expect(countLine(suite({}).totals)).toBe('0 passed, 1 failed')
  })

  test('hold a test file that vitest left out as a failure', () => {
    const { totals } = suite({ 'a.test.mjs': `test('a', () => {})`, 'inner.spec.mjs': `test('b', () => {})` })
    expect(countLine(totals)).toBe('1 passed, 1 failed')
    expect(totals.failures[0].title).toMatch(/inner\.spec\.mjs$/)
  })

  test('hold a package whose tests are all skipped as skipped, not as passed', () => {
    expect(countLine(suite({ 'a.test.mjs': `test.skip('a', () => {})` }).totals)).toBe('0 passed, 0 failed, 1 skipped')
  })

  test('hold a runner that died without a report as a failure', () => {
    expect(countLine(suite({ 'a.test.mjs': `process.kill(process.ppid, 'SIGKILL')` }).totals)).toBe(
      '0 passed, 1 failed',
    )
  })
})
