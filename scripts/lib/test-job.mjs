/**
 * Runs every test of the repository: those of the packages and examples through turbo, then those of the tooling, and
 * ends with one line of counts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './child.mjs'
import { root, testFiles, workspaces } from './repository.mjs'
import { countLine, readReport, renderSummary, summarize } from './test-report.mjs'
import { turbo } from './turbo.mjs'

const tooling = 'tooling'

/**
 * `args` are names of packages to test, all where there are none; the first that begins with a dash, and what follows
 * it, goes to vitest. Resolves with the exit code.
 */
export async function testJob(args) {
  const suites = findSuites()
  const { chosen, rest } = choose(args, [...suites.keys()])
  const reports = mkdtempSync(join(tmpdir(), 'kagami-test-reports-'))
  try {
    const env = { KAGAMI_TEST_REPORTS: reports, ...colours() }
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
    // Options may name files, so only a run without any can tell that one was left out.
    const results = chosen.map((name) => readReport(reports, name, rest.length === 0 ? suites.get(name) : []))
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

/** Every package with a folder of tests, by name, with the test files that it has. */
function findSuites() {
  const suites = workspaces().map(({ name, folder }) => [name, testFiles(folder)])
  return new Map([...suites, [tooling, testFiles(root)]].filter(([, files]) => files !== undefined))
}

function choose(args, all) {
  const end = args.findIndex((arg) => arg.startsWith('-'))
  const names = end < 0 ? args : args.slice(0, end)
  for (const name of names) {
    if (!all.includes(name)) throw new Error(`No tests are in a package called ${name}. There are: ${all.join(', ')}.`)
  }
  const rest = end < 0 ? [] : args.slice(end)
  return { chosen: names.length > 0 ? names : all, rest: rest[0] === '--' ? rest.slice(1) : rest }
}

/** The children see a pipe where this process may see a terminal, so they are told. */
function colours() {
  if (process.env['FORCE_COLOR'] !== undefined || process.env['NO_COLOR'] !== undefined) return {}
  return process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' }
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
