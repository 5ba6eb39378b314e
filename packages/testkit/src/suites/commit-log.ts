/** The conformance suite of `CommitLog`: what is acknowledged stays, in one order, and no reader skips a record. */
import type { CommitLogCapabilities } from './commit-log-capabilities.js'
import type { CommitLogWorld } from './commit-log-world.js'
import { adapterCases } from './adapter.js'
import { addressCases } from './log-addresses.js'
import { appendCases } from './log-appends.js'
import { logFaultCases } from './log-faults.js'
import { readCases } from './log-reads.js'
import { truncateCases } from './log-truncation.js'
import { suite } from './runner.js'
import type { SuiteRunner, SuiteSubject } from './runner.js'

/** A commit log to be tested, and what the suite must know of it. */
export interface CommitLogSubject extends SuiteSubject<CommitLogWorld> {
  /** What it can do: cases for what it can't are left out, and the first case names both. */
  readonly capabilities: CommitLogCapabilities
}

/** Registers the suite with a runner. */
export function commitLogSuite(runner: SuiteRunner, subject: CommitLogSubject): void {
  const { capabilities } = subject
  const hooks = { outage: 'outage', fill: 'fill', recreate: 'recreate', loseTail: 'loseTail' } as const
  suite(runner, 'CommitLog', subject, capabilities, hooks, (test) => {
    adapterCases(test, capabilities)
    addressCases(test)
    appendCases(test)
    readCases(test)
    truncateCases(test)
    logFaultCases(test, capabilities)
  })
}
