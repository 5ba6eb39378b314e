/** The coordinator's documents: "format versions in every document", small, and spread over buckets so that "10,000 tokens fit". */
import { describe, expect, test } from 'vitest'
import {
  assignmentDocument,
  bucketOf,
  BUCKETS,
  generationAt,
  generationOf,
  incarnationAbove,
  isLater,
  knownEntries,
  memberData,
  reportDocument,
  specDocument,
  verifiedDocument,
} from '../../src/engine/documents.js'
import type { Assignment, CopyReport, Spec } from '../../src/engine/documents.js'
import { codeOf } from './support.js'

const LOG = { address: 'log-1', identity: 'uuid-1' }
const SPEC: Spec = {
  token: '鏡 "orders"',
  generation: 2,
  removed: false,
  removedBefore: 0,
  replicas: 2,
  weight: 1.5,
  primary: 'self',
  owner: 'a',
  failover: 'hold',
  failback: true,
  handover: { to: 'b', nonce: 'ff' },
  adopt: { incarnation: 1, epoch: 4, log: LOG },
}
const ASSIGNMENT: Assignment = {
  token: 'orders',
  incarnation: 3,
  phase: 'open',
  log: LOG,
  epoch: 2 ** 53 - 1,
  reached: { incarnation: 3, index: 0 },
  primary: { node: 'a', member: 'a-1' },
  replicas: ['b', 'c'],
  snapshotter: 'b',
  handoverGivenUp: null,
}
const REPORT: CopyReport = {
  token: 'orders',
  incarnation: 3,
  epoch: 4,
  nextIndex: 10,
  reached: { incarnation: 3, index: 10 },
  phase: 'running',
  inSync: true,
  cutOff: false,
  snapshotFails: false,
  serving: 4,
  seen: { incarnation: 3, epoch: 9, log: LOG, deleted: false },
  error: null,
}

const all = [
  ['specs', specDocument, { tokens: [SPEC] }],
  ['assignments', assignmentDocument, { controller: 5, tokens: [ASSIGNMENT] }],
  ['reports', reportDocument, { member: 'a-1', tokens: [REPORT] }],
  [
    'verified snapshots',
    verifiedDocument,
    { tokens: [{ token: 'orders', incarnation: 3, ids: ['3-10-a', '3-20-a'] }] },
  ],
  ['member', memberData, { zone: null, capacity: 1, meta: { url: 'http://10.0.0.1' }, draining: 'leaving' }],
] as const

interface Codec {
  encode(value: object): Uint8Array
  decode(bytes: Uint8Array, name: string): object
}

describe.each(all)('a document of %s', (what, typed, value) => {
  const codec = typed as unknown as Codec
  const decode = (text: string): unknown => codeOf(() => codec.decode(Buffer.from(text), 'specs/7f'))

  test('is read back as it was written', () => {
    expect(codec.decode(codec.encode(value), 'x')).toMatchObject(value)
  })

  test('says its format and what it holds, and can be written again as it was read', () => {
    const bytes = codec.encode(value)
    expect(JSON.parse(Buffer.from(bytes).toString())).toEqual({ format: 1, what, ...value })
    expect(Buffer.from(codec.encode(codec.decode(bytes, 'x'))).equals(Buffer.from(bytes))).toBe(true)
  })

  test('of another format is refused as unknown: nothing is guessed', () => {
    for (const format of [2, 0, '1', null]) {
      expect(decode(JSON.stringify({ format, what, ...value }))).toBe('KAGAMI_UNKNOWN_FORMAT')
    }
    expect(decode(JSON.stringify({ what, ...value }))).toBe('KAGAMI_UNKNOWN_FORMAT')
  })

  test.each([
    '',
    'not JSON',
    '{"format":1',
    'null',
    '7',
    '"text"',
    '[]',
    '{}',
    '{"format":1,"what":"something else","tokens":[]}',
  ])('is refused when it is %j', (text) => {
    expect(decode(text)).toBe('KAGAMI_BAD_DOCUMENT')
  })

  test('that is damaged is refused by its name', () => {
    const bytes = Buffer.from(codec.encode(value))
    expect(() => codec.decode(bytes.subarray(0, -1), 'specs/7f')).toThrow('specs/7f')
  })
})

test("one kind's document is not taken for another's", () => {
  for (const [what, codec, value] of all) {
    for (const [other, another] of all) {
      const expected = other === what ? 'nothing' : 'KAGAMI_BAD_DOCUMENT'
      expect(codeOf(() => another.decode((codec as unknown as Codec).encode(value), 'x'))).toBe(expected)
    }
  }
})

describe('incarnations', () => {
  test('two belong to each creation: its life and its end', () => {
    expect([1, 2, 3, 4, 5].map(generationOf)).toEqual([1, 1, 2, 2, 3])
  })

  test('creations of which nothing before is known are in the order of the clock, by the second', () => {
    const beginning = Date.UTC(2026, 0, 1)
    const times = [0, beginning - 1, beginning, beginning + 1999, beginning + 2000, beginning + 86_400_000]
    expect(times.map(generationAt)).toEqual([1, 1, 1, 1, 2, 86_400])
    expect(Number.isSafeInteger(2 * generationAt(Date.UTC(9999, 0, 1)))).toBe(true)
  })

  test.each([
    [0, 1, 1],
    [1, 1, 3],
    [2, 1, 3],
    [2, 2, 3],
    [0, 3, 5],
    [7, 2, 9],
    [8, 2, 9],
  ])('above %i, for creation %i: %i', (other, generation, expected) => {
    expect(incarnationAbove(other, generation)).toBe(expected)
  })
})

describe('which of two specs is later', () => {
  test.each([
    ['one of a later creation', { ...SPEC, generation: 3 }, { ...SPEC, generation: 2, removed: true }, true],
    [
      'not one of an earlier creation, though it is removed',
      { ...SPEC, removed: true },
      { ...SPEC, generation: 3 },
      false,
    ],
    ['a removal, which is for good', { ...SPEC, removed: true }, SPEC, true],
    ['not what was before the removal', SPEC, { ...SPEC, removed: true }, false],
    ['not one of the same creation with other options', { ...SPEC, replicas: 5 }, SPEC, false],
    ['any, where there is none', SPEC, undefined, true],
  ])('%s', (_what, spec, than, expected) => {
    expect(isLater(spec, than)).toBe(expected)
  })
})

describe('buckets', () => {
  test('never change: a token is looked for where it was put', () => {
    const names = ['orders', 'a', '鏡', 'token-1', 'token-2', 'x'.repeat(200)]
    expect(BUCKETS).toBe(256)
    expect(names.map(bucketOf)).toEqual(['ee', '43', 'c7', '5b', 'e1', 'a6'])
  })

  test('10,000 tokens are spread evenly, in documents that are small', () => {
    for (const nameOf of [
      (i: number) => `token-${i}`,
      (i: number) => `orders/${i % 100}/${Math.floor(i / 100)}`,
      (i: number) => i.toString(16),
    ]) {
      const counts = new Map<string, number>()
      for (let i = 0; i < 10_000; i++) counts.set(bucketOf(nameOf(i)), (counts.get(bucketOf(nameOf(i))) ?? 0) + 1)
      expect(counts.size).toBe(BUCKETS)
      expect([...counts.keys()].every((bucket) => /^[0-9a-f]{2}$/.test(bucket))).toBe(true)
      const most = Math.max(...counts.values())
      // 39 on average; by chance alone five standard deviations above it would be 70.
      expect(most).toBeLessThan(70)
      const tokens = Array.from({ length: most }, (_, i) => ({
        ...ASSIGNMENT,
        token: `token-${i}`,
        replicas: ['node-0001', 'node-0002', 'node-0003'],
      }))
      expect(assignmentDocument.encode({ controller: 1, tokens }).length).toBeLessThan(32_768)
    }
  })
})

test('an assignment that an earlier version wrote says nothing of what its log is known to hold', () => {
  expect(knownEntries({ ...ASSIGNMENT, reached: { incarnation: 3, index: 7 } })).toBe(7)
  expect(knownEntries({ ...ASSIGNMENT, reached: { incarnation: 1, index: 7 } })).toBe(0)
  const { reached, ...earlier } = ASSIGNMENT
  expect(reached).toBeDefined()
  expect(knownEntries(earlier)).toBe(0)
})
