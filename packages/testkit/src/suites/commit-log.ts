/** The conformance suite of `CommitLog`: what is acknowledged stays, in one order, and no reader skips a record. */
import type { CommitLog, LogAddress } from '@kagami/core/contract'
import { adapterCases } from './adapter.js'
import type { AdapterWorld } from './adapter.js'
import { addressCases } from './log-addresses.js'
import { appendCases } from './log-appends.js'
import { logFaultCases } from './log-faults.js'
import { readCases } from './log-reads.js'
import { truncateCases } from './log-truncation.js'
import { suite } from './runner.js'
import type { EndFault, SuiteRunner, SuiteSubject } from './runner.js'

/** What the cases work on: a commit log that holds nothing yet, and its faults. */
export interface CommitLogWorld extends AdapterWorld {
  open(node: string): CommitLog
  /** Makes the log unreachable for every node, until the returned function is called. Capability `outage`. */
  outage?(): Promise<EndFault> | EndFault
  /** Leaves no room for appends, until the returned function is called. Capability `fill`. */
  fill?(): Promise<EndFault> | EndFault
  /** Deletes a log and creates it anew at the same address, behind the adapters' back. Capability `recreate`. */
  recreate?(address: LogAddress): Promise<void> | void
  /** Loses the newest records of a log. Capability `loseTail`. */
  loseTail?(address: LogAddress, count: number): Promise<void> | void
}

export interface CommitLogCapabilities {
  readonly outage: boolean
  readonly fill: boolean
  readonly recreate: boolean
  readonly loseTail: boolean
}

export interface CommitLogSubject extends SuiteSubject<CommitLogWorld> {
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
