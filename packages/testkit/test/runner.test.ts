import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const here = dirname(fileURLToPath(import.meta.url))

/** Runs a file of node:test in a process of its own, and gives its report. */
function nodeTest(
  file: string,
  env: Record<string, string>,
): Promise<{ readonly code: number; readonly report: string }> {
  const args = ['--test', '--test-reporter=tap', join(here, file)]
  return new Promise((resolve) => {
    // Without vitest's own variables, which would reach the child.
    const { PATH = '' } = process.env
    execFile(process.execPath, args, { env: { PATH, ...env }, timeout: 60_000 }, (error, stdout) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), report: stdout })
    })
  })
}

it('the suites run under node:test as they do under vitest', { timeout: 90_000 }, async () => {
  const { code, report } = await nodeTest('node-runner.mjs', {})
  expect(report).toMatch(/^# fail 0$/m)
  for (const suite of ['CommitLog', 'Coordinator', 'SnapshotStore', 'PlacementStrategy', 'StateMachine']) {
    const cases = new RegExp(`^ *# Subtest: ${suite}\\b[^]*?^ +1\\.\\.(\\d+)$`, 'm').exec(report)?.[1]
    expect(Number(cases), `cases of ${suite}`).toBeGreaterThan(15)
  }
  expect(report).toContain('declares outage=yes, fill=yes, recreate=yes, loseTail=yes')
  expect(code).toBe(0)
})

it('under node:test a failing case is a failing test, and the only one', { timeout: 90_000 }, async () => {
  const { code, report } = await nodeTest('node-runner.mjs', { BROKEN: '1' })
  expect(report).toMatch(/^# fail 1$/m)
  expect(report).toMatch(/not ok \d+ - the list is newest first/)
  expect(code).not.toBe(0)
})
