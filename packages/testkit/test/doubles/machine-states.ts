/** State machines with one fault each in what they show of their state, and the cases of the suite that must catch it. */
import type { Entry, StateSnapshot } from '@kagami/core/contract'
import { KeyValue } from '../machine.js'
import type { Command, Result } from '../machine.js'
import type { BrokenMachine } from './machines.js'

export const machinesWithBrokenStates: readonly BrokenMachine[] = [
  {
    fault: 'applies nothing',
    make: () =>
      new (class extends KeyValue {
        override apply(_entry: Entry<Command>): Result {
          return { version: 0, value: undefined }
        }
      })(),
    caught: ['the subject is of use: its entries change the state'],
  },
  {
    fault: 'counts how often it is looked at',
    make: () =>
      new (class extends KeyValue {
        override digest(): string {
          this.version += 1
          return super.digest()
        }
      })(),
    caught: ['reading the state does not change it'],
  },
  {
    fault: 'shows what it captured first',
    make: () =>
      new (class extends KeyValue {
        #first: StateSnapshot | undefined
        override snapshot(): StateSnapshot {
          this.#first ??= super.snapshot()
          return this.#first
        }
      })(),
    caught: ['one capture after another shows each state in its turn'],
  },
]
