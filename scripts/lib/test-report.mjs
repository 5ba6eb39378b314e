/**
 * Turns the JSON reports that vitest wrote, one per package, into one summary. The counts come from the reports alone;
 * whatever kept a test from being counted is a failure.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { readJson, shown } from './repository.mjs'
import { table } from './say.mjs'

/** Where a package's report lies in the folder of reports. The shared vitest settings use the same name. */
export function reportPath(folder, packageName) {
  return join(folder, `${packageName.replaceAll('/', '+')}.json`)
}

/**
 * Reads a package's report: `{ name, files, passed, failed, skipped, seconds, failures }`. A report that is missing, or
 * that holds no test, counts as one failure; so does a test file that failed outside of its tests, and one of `expected`
 * that was not run.
 */
export function readReport(folder, name, expected = []) {
  const path = reportPath(folder, name)
  const result = { name, files: 0, passed: 0, failed: 0, skipped: 0, seconds: 0, failures: [] }
  const fail = (title, message) => {
    result.failed += 1
    result.failures.push({ title, message })
  }
  if (!existsSync(path)) {
    fail(
      name,
      'It has tests, but vitest wrote no report: it crashed, or its vitest.config.mjs does not use sharedConfig.',
    )
    return result
  }
  const report = readJson(path)
  for (const file of report.testResults) {
    result.files += 1
    result.seconds += Math.max(0, file.endTime - file.startTime) / 1000
    let failedHere = 0
    for (const test of file.assertionResults) {
      if (test.status === 'passed') result.passed += 1
      else if (test.status === 'failed') {
        failedHere += 1
        fail(`${shown(file.name)} > ${test.fullName}`, test.failureMessages.join('\n'))
      } else result.skipped += 1
    }
    if (file.status === 'failed' && failedHere === 0) {
      fail(shown(file.name), file.message || 'It failed before its tests ran, or after them.')
    }
  }
  const reported = new Set(report.testResults.map((file) => file.name))
  for (const file of expected.filter((each) => !reported.has(each))) {
    fail(shown(file), 'It was not run: its name is not one that the vitest settings include.')
  }
  if (result.passed + result.failed + result.skipped === 0) {
    fail(name, 'It has a folder of tests, but not one test ran.')
  }
  return result
}

/**
 * Adds up the packages. `ended` tells whether every runner ended well; where one did not though no test failed, for
 * instance because of an error that no test caught, that is a failure as well.
 */
export function summarize(results, ended) {
  const sum = (field) => results.reduce((total, result) => total + result[field], 0)
  const failures = results.flatMap((result) => result.failures)
  let failed = sum('failed')
  if (!ended && failed === 0) {
    failed += 1
    failures.push({ title: 'vitest', message: 'It reported an error outside of the tests, see above.' })
  }
  return { passed: sum('passed'), failed, skipped: sum('skipped'), failures }
}

/** `12 passed, 0 failed`, and the skipped where there are some. */
export function countLine({ passed, failed, skipped }) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`
}

/** The summary as text, without the line of counts. */
export function renderSummary(results, failures) {
  const rows = results.map((r) => [r.name, r.files, r.passed, r.failed, r.skipped, r.seconds.toFixed(1)])
  const parts = [table([['package', 'files', 'passed', 'failed', 'skipped', 'seconds'], ...rows])]
  for (const { title, message } of failures) parts.push(`FAILED ${title}\n${indent(firstLines(message, 12))}`)
  return parts.join('\n\n')
}

function firstLines(text, count) {
  const lines = text.trim().split('\n')
  return lines.length <= count ? lines.join('\n') : [...lines.slice(0, count), '… (in full above)'].join('\n')
}

function indent(text) {
  return text.replace(/^/gm, '    ')
}
