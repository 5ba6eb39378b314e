/** The vitest settings that every package shares. A package's `vitest.config.mjs` names itself, and adds what it alone needs. */
import { readFileSync } from 'node:fs'
import { reportPath } from './scripts/lib/test-report.mjs'

/**
 * The settings for the package whose config lies at `url`; `own` adds or replaces single ones.
 * `KAGAMI_TEST_REPORTS` is set by `npm test`: the folder for the reports that it adds up.
 */
export function sharedConfig(url, own = {}) {
  const { name } = JSON.parse(readFileSync(new URL('package.json', url), 'utf8'))
  const reports = process.env['KAGAMI_TEST_REPORTS']
  return {
    test: {
      name,
      include: ['test/**/*.test.?(c|m)[jt]s'],
      // Native addons and process.chdir need processes; threads would share them.
      pool: 'forks',
      maxWorkers: 2,
      retry: 0,
      testTimeout: 60_000,
      hookTimeout: 60_000,
      teardownTimeout: 10_000,
      reporters:
        reports === undefined
          ? ['default']
          : ['default', ['json', { outputFile: reportPath(reports, own.name ?? name) }]],
      ...own,
    },
  }
}
