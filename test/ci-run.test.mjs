/** The last line and the exit code of `.ci/run`, whichever step fails. The steps themselves are played by a stand-in. */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
let folder

// It notes what was started with which CI, writes the counts as the real one does, and fails on request.
const standIn = `
import { appendFileSync, writeFileSync } from 'node:fs'
const job = process.argv[2] ?? 'check-lockfile'
appendFileSync('jobs', job + ' ' + process.env.CI + '\\n')
console.log('output of ' + job)
console.error('errors of ' + job)
if (job === 'test' && process.env.COUNTS) writeFileSync(process.env.KAGAMI_TEST_COUNTS, process.env.COUNTS + '\\n')
process.exitCode = (process.env.FAIL ?? '').split(',').includes(job) ? 1 : 0
`

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'kagami-tooling-'))
  for (const inner of ['.ci', 'scripts', 'tmp']) mkdirSync(join(folder, inner))
  copyFileSync(join(root, '.ci/run'), join(folder, '.ci/run'))
  for (const script of ['run.mjs', 'check-lockfile.mjs']) writeFileSync(join(folder, 'scripts', script), standIn)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function ci({ fail = '', counts = '12 0 0' }) {
  const env = { ...process.env, FAIL: fail, COUNTS: counts, TMPDIR: join(folder, 'tmp') }
  const { status, stdout } = spawnSync('bash', [join(folder, '.ci/run')], { cwd: tmpdir(), env, encoding: 'utf8' })
  return { status, last: stdout.trimEnd().split('\n').at(-1), stdout }
}

test('all is well: the counts of the tests, and 0', () => {
  const { status, last, stdout } = ci({})
  expect({ status, last }).toEqual({ status: 0, last: '12 passed, 0 failed' })
  for (const job of ['install', 'check-lockfile', 'format-check', 'build', 'lint', 'test', 'check-packages']) {
    expect(stdout).toContain(`output of ${job}\n`)
    expect(stdout).toContain(`errors of ${job}\n`)
  }
  expect(readdirSync(join(folder, 'tmp'))).toEqual([])
})

test.each(['check-lockfile', 'format-check', 'build', 'lint', 'check-packages'])(
  '%s fails: one failure more, and not 0',
  (fail) => {
    const { status, last } = ci({ fail })
    expect({ status, last }).toEqual({ status: 1, last: '12 passed, 1 failed' })
  },
)

test('failing steps add up, and do not keep the others from running', () => {
  const { status, last, stdout } = ci({ fail: 'format-check,lint,test', counts: '10 2 0' })
  expect({ status, last }).toEqual({ status: 1, last: '10 passed, 4 failed' })
  expect(stdout).toContain('output of check-packages')
})

test('failed tests are counted once', () => {
  expect(ci({ fail: 'test', counts: '10 2 0' })).toMatchObject({ status: 1, last: '10 passed, 2 failed' })
})

test('a skipped test fails, whatever the test job says', () => {
  expect(ci({ counts: '11 0 1' })).toMatchObject({ status: 1, last: '11 passed, 0 failed, 1 skipped' })
  expect(ci({ fail: 'test', counts: '11 0 1' })).toMatchObject({ status: 1, last: '11 passed, 0 failed, 1 skipped' })
})

test('a test job that dies without counts, or fails with none failed, is one failure', () => {
  expect(ci({ fail: 'test', counts: '' })).toMatchObject({ status: 1, last: '0 passed, 1 failed' })
  expect(ci({ fail: 'test', counts: '12 0 0' })).toMatchObject({ status: 1, last: '12 passed, 1 failed' })
})

test('a test job that says nothing at all has not passed', () => {
  expect(ci({ counts: '' })).toMatchObject({ status: 1, last: '0 passed, 1 failed' })
})

test('an installation that fails ends the run, with a failure', () => {
  const { status, last, stdout } = ci({ fail: 'install' })
  expect({ status, last }).toEqual({ status: 1, last: '0 passed, 1 failed' })
  expect(stdout).not.toContain('output of build')
})

test('the steps run with CI set', () => {
  const { stdout } = spawnSync('cat', [join(folder, 'jobs')], { encoding: 'utf8' })
  expect(
    new Set(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[1]),
    ),
  ).toEqual(new Set(['true']))
})
