import { stateMachineSuite } from '@kagami/testkit'
import type { Entry } from 'kagami'
import { describe, expect, it, test } from 'vitest'
import { commandCodec, type Command, type Outcome, type RequestId } from '../../src/state/command.js'
import { digestOf } from '../../src/state/digest.js'
import { KvMachine } from '../../src/state/kv-machine.js'

const signal = new AbortController().signal
const any = { is: 'any' } as const

function put(key: string, value: string, request?: RequestId): Command {
  return { op: 'put', key, value: Buffer.from(value), condition: any, request }
}

function entryAt(index: number, value: Command): Entry<Command> {
  return { token: 'kv-00', position: { incarnation: 1, index }, value, timeMs: 0, level: 0 }
}

/** Puts, deletes and conditions on few keys by few clients, some of them retried. */
function command(i: number): Command {
  const request = { client: `c${i % 3}`, number: 1 + Math.floor(i / 3) - (i % 7 === 0 && i > 20 ? 4 : 0) }
  const key = `key ${(i * 7) % 90}`
  if (i % 11 === 0) return { op: 'delete', key, condition: any, request }
  const value = Buffer.from(`value ${i} `.padEnd(1500, '·'))
  const condition = i % 5 === 0 ? ({ is: 'absent' } as const) : any
  return { op: 'put', key, value, condition, request: i % 13 === 0 ? undefined : request }
}

describe('the state of a token', () => {
  stateMachineSuite<Outcome, Command>(
    { describe, it },
    {
      setup: () => new KvMachine({ ledger: true }),
      entries: command,
      digest: async (machine) => (await digestOf(machine as KvMachine, signal)).hash,
      capabilities: { manyChunks: true },
    },
  )
})

test.each([0, 20, 55, 77].map((i) => [i, command(i)] as const))(
  'command %i comes back equal from its bytes',
  (_, given) => {
    const back = commandCodec.decode(commandCodec.encode(given))
    expect({ ...back, value: undefined }).toEqual({ ...given, value: undefined })
    if (given.op === 'put') expect(Buffer.from((back as typeof given).value)).toEqual(Buffer.from(given.value))
  },
)

test('a command of a later format is refused, not guessed at', () => {
  const bytes = commandCodec.encode(command(1))
  bytes[0] = 2
  expect(() => commandCodec.decode(bytes)).toThrow('upgrade')
})

describe('the ledger', () => {
  test('sees what the request table hides: entries of one id, and that it took effect once', async () => {
    const machine = new KvMachine({ ledger: true })
    const request = { client: 'a', number: 3 }
    machine.apply(entryAt(0, put('x', '1', request)))
    machine.apply(entryAt(1, put('x', '1', request)))
    const { rows, counts } = await digestOf(machine, signal)
    expect(rows).toEqual([{ client: 'a', number: 3, entries: 2, effects: 1, index: 0 }])
    expect(counts.nextIndex).toBe(2)
  })

  test('counts an index that came twice, and those that never came', async () => {
    const machine = new KvMachine({ ledger: true })
    for (const index of [0, 1, 1, 5]) machine.apply(entryAt(index, put('x', '1')))
    const { counts } = await digestOf(machine, signal)
    expect(counts).toMatchObject({ repeatedIndexes: 1, skippedIndexes: 3, anonymous: 4 })
  })

  test('counts a second effect of one id, where the request table has forgotten the client', async () => {
    const machine = new KvMachine({ ledger: true, requests: { answersPerClient: 4, clients: 2 } })
    machine.apply(entryAt(0, put('x', '1', { client: 'a', number: 1 })))
    machine.apply(entryAt(1, put('x', '1', { client: 'b', number: 1 })))
    machine.apply(entryAt(2, put('x', '1', { client: 'c', number: 1 })))
    machine.apply(entryAt(3, put('x', '1', { client: 'a', number: 1 })))
    const { rows } = await digestOf(machine, signal)
    expect(rows.find(({ client }) => client === 'a')).toMatchObject({ entries: 2, effects: 2 })
  })
})

describe('the request table', () => {
  test('keeps the clients that wrote last, also across a restore', async () => {
    const limits = { answersPerClient: 4, clients: 3 }
    const machine = new KvMachine({ ledger: false, requests: limits })
    let index = 0
    const write = (target: KvMachine, client: string, number: number): Outcome =>
      target.apply(entryAt(index++, put('x', client, { client, number })))
    for (const client of ['a', 'b', 'c', 'a']) write(machine, client, index + 1)
    const captured = machine.snapshot()
    const chunks = captured.persist({ signal })
    const restored = new KvMachine({ ledger: false, requests: limits })
    await restored.restore(chunks, { token: 'kv-00', next: { incarnation: 1, index }, schemaVersion: 1 })
    captured.release()
    write(restored, 'd', 1)
    expect(write(restored, 'a', 4).repeated).toBe(true)
    expect(write(restored, 'c', 3).repeated).toBe(true)
    expect(write(restored, 'b', 2).repeated).toBe(false)
  })

  test('stays bounded, whatever clients do', async () => {
    const machine = new KvMachine({ ledger: false, requests: { answersPerClient: 4, clients: 10 } })
    const sizes: number[] = []
    for (let i = 0; i < 4000; i++) {
      machine.apply(entryAt(i, put('x', '', { client: `c${i % 37}`, number: i + 1 })))
      if (i % 1000 === 999) {
        const captured = machine.snapshot()
        let bytes = 0
        for await (const chunk of captured.persist({ signal })) bytes += chunk.byteLength
        captured.release()
        sizes.push(bytes)
      }
    }
    expect(Math.max(...sizes)).toBeLessThan(10_000)
  })

  test('answers that come out of order are kept by their numbers', () => {
    const machine = new KvMachine({ ledger: false, requests: { answersPerClient: 3, clients: 3 } })
    const write = (index: number, number: number): Outcome =>
      machine.apply(entryAt(index, put('x', '', { client: 'a', number })))
    expect([5, 2, 9, 3].map((number, index) => write(index, number).status)).toEqual(['done', 'done', 'done', 'done'])
    // 2 was the lowest of four: it is forgotten, and so is what lies below.
    expect([write(4, 2).status, write(5, 1).status]).toEqual(['forgotten', 'forgotten'])
    expect([write(6, 3), write(7, 5), write(8, 9)].map(({ repeated }) => repeated)).toEqual([true, true, true])
  })
})
