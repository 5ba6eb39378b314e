/**
 * Runs every test of the repository: those of the packages and examples through turbo, then those of the tooling, and
 * ends with one line of counts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './child.mjs'
import { root, workspaces } from './repository.mjs'
import { countLine, readReport, renderSummary, summarize } from './test-report.mjs'
import { turbo } from './turbo.mjs'

const tooling = 'tooling'

/**
 * `args` are names of packages to test, all where there are none; the rest after `--` goes to vitest.
 * Resolves with the exit code.
 */
export async function testJob(args) {
  const { chosen, rest } = choose(args)
  const reports = mkdtempSync(join(tmpdir(), 'kagami-test-reports-'))
  try {
    const env = {
      KAGAMI_TEST_REPORTS: reports,
      FORCE_COLOR: process.stdout.isTTY ? '1' : (process.env['FORCE_COLOR'] ?? '0'),
    }
    let ended = true
    const packages = chosen.filter((name) => name !== tooling)
    if (packages.length > 0) {
      const filters = packages.map((name) => `--filter=${name}`)
      const pass = rest.length > 0 ? ['--', ...rest] : []
      // One package at a time: many tests watch a clock, and would see each other's load.
      const options = ['--only', '--concurrency=1', '--continue=always', '--log-prefix=none', '--log-order=stream']
      const { code } = await turbo('test', [...options, ...filters, ...pass], { env })
      ended &&= code === 0
    }
    if (chosen.includes(tooling)) {
      const vitest = join(root, 'node_modules', 'vitest', 'vitest.mjs')
      const { code } = await run(process.execPath, [vitest, 'run', ...rest], {
        cwd: root,
        env: { ...process.env, ...env },
      })
      ended &&= code === 0
    }
    const results = chosen.map((name) => readReport(reports, name))
    const totals = summarize(results, ended)
    process.stdout.write(`\n${renderSummary(results, totals.failures)}\n\n${verdict(totals)}${countLine(totals)}\n`)
    saveCounts(totals)
    return totals.failed > 0 || (totals.skipped > 0 && inCi()) ? 1 : 0
  } finally {
    rmSync(reports, { recursive: true, force: true })
  }
}

/** What the job prints, and leaves for .ci/run, where it did not come as far as the tests: that is one failure. */
export function failedBeforeTests() {
  const totals = { passed: 0, failed: 1, skipped: 0 }
  process.stdout.write(`${countLine(totals)}\n`)
  saveCounts(totals)
}

function choose(args) {
  const all = [
    ...workspaces()
      .filter((workspace) => workspace.hasTests)
      .map((workspace) => workspace.name),
    tooling,
  ]
  const end = args.indexOf('--')
  const names = end < 0 ? args : args.slice(0, end)
  for (const name of names) {
    if (!all.includes(name)) throw new Error(`No tests are in a package called ${name}. There are: ${all.join(', ')}.`)
  }
  return { chosen: names.length > 0 ? names : all, rest: end < 0 ? [] : args.slice(end + 1) }
}

function verdict({ failed, skipped }) {
  if (failed === 0 && skipped > 0 && inCi()) return 'In CI a skipped test is a failure.\n'
  return ''
}

function inCi() {
  return process.env['CI'] !== undefined && !['', '0', 'false'].includes(process.env['CI'])
}

function saveCounts(totals) {
  const path = process.env['KAGAMI_TEST_COUNTS']
  if (path) writeFileSync(path, `${totals.passed} ${totals.failed} ${totals.skipped}\n`)
}
