import { describe, expect, test } from 'vitest'
import { exitCodeOf } from '../../src/demo/demo.js'
import type { WriteRecord } from '../../src/demo/records.js'
import { judge, type CopyEvidence, type Evidence } from '../../src/demo/verdict.js'

const counts = { nextIndex: 4, anonymous: 0, repeatedIndexes: 0, skippedIndexes: 0, blocks: 1, unrecorded: 0 }

function write(number: number, more: Partial<WriteRecord> = {}): WriteRecord {
  const position = `1.${number - 1}`
  return {
    client: 'c0',
    number,
    token: 'kv-00',
    key: 'k',
    attempts: 1,
    state: 'acknowledged',
    doubtful: false,
    position,
    ...more,
  }
}

function copy(node: string, more: Partial<CopyEvidence> = {}): CopyEvidence {
  const rows = [1, 2, 3, 4].map((number) => ['c0', number, 1, 1, number - 1] as const)
  return { node, token: 'kv-00', position: '1.4', hash: 'aa', counts, rows, ...more }
}

function evidence(more: Partial<Evidence> = {}): Evidence {
  return {
    writes: [1, 2, 3, 4].map((number) => write(number)),
    staleReads: 0,
    copies: [copy('a'), copy('b')],
    tokens: ['kv-00'],
    copiesPerToken: 2,
    killsWanted: 1,
    kills: 1,
    promotions: 1,
    failoverMs: 300,
    longestGapMs: 400,
    spread: { primaries: { min: 0, max: 1 }, copies: { min: 1, max: 1 } },
    complaints: [],
    ...more,
  }
}

const rowsBut = (number: number, row?: readonly [string, number, number, number, number]): CopyEvidence['rows'] =>
  copy('a').rows.flatMap((own) => (own[1] !== number ? [own] : row === undefined ? [] : [row]))

describe('the verdict', () => {
  test('is ok where every copy has exactly what was acknowledged', () => {
    const verdict = judge(evidence())
    expect(verdict).toMatchObject({ ok: true, acknowledged: 4, lost: 0, duplicated: 0, diverged: 0, reasons: [] })
    expect(exitCodeOf(verdict)).toBe(0)
  })

  test('lets a write of unknown outcome be there or not', () => {
    const writes = [...evidence().writes.slice(0, 3), write(4, { state: 'unknown', position: undefined })]
    expect(judge(evidence({ writes }))).toMatchObject({ ok: true, acknowledged: 3, indeterminate: 1 })
    const without = { rows: rowsBut(4), position: '1.3' }
    expect(judge(evidence({ writes, copies: [copy('a', without), copy('b', without)] })).ok).toBe(true)
  })

  test('lets a retried write have as many entries as it was sent, with one effect', () => {
    const twice = { rows: rowsBut(4, ['c0', 4, 2, 1, 3]), position: '1.5' }
    const writes = [...evidence().writes.slice(0, 3), write(4, { attempts: 2, doubtful: true })]
    expect(judge(evidence({ writes, copies: [copy('a', twice), copy('b', twice)] }))).toMatchObject({
      ok: true,
      retried: 1,
    })
  })

  const wrong: readonly (readonly [what: string, given: Partial<Evidence>, expected: object])[] = [
    [
      'an acknowledged write is missing in one copy',
      { copies: [copy('a'), copy('b', { rows: rowsBut(2) })] },
      { lost: 1 },
    ],
    [
      'an acknowledged write is in the log, but took no effect',
      { copies: [copy('a'), copy('b', { rows: rowsBut(2, ['c0', 2, 1, 0, 0]) })] },
      { lost: 1 },
    ],
    [
      'an acknowledged write is elsewhere than was said',
      { writes: [...evidence().writes.slice(0, 3), write(4, { position: '1.9' })] },
      { lost: 1 },
    ],
    [
      'a write took effect twice',
      { copies: [copy('a'), copy('b', { rows: rowsBut(3, ['c0', 3, 2, 2, 2]), position: '1.5' })] },
      { duplicated: 1 },
    ],
    [
      'a write that was sent once has two entries, one of which the request table hid',
      { copies: [copy('a', { rows: rowsBut(3, ['c0', 3, 2, 1, 2]), position: '1.5' }), copy('b')] },
      { duplicated: 1 },
    ],
    ['two copies have different hashes', { copies: [copy('a'), copy('b', { hash: 'bb' })] }, { diverged: 1 }],
    [
      'two copies are at different positions',
      { copies: [copy('a'), copy('b', { position: '1.3', rows: rowsBut(4) })] },
      { diverged: 1 },
    ],
    [
      'a copy was given an index twice',
      { copies: [copy('a', { counts: { ...counts, repeatedIndexes: 1 } }), copy('b')] },
      {},
    ],
    [
      'a copy was not given an index',
      { copies: [copy('a', { counts: { ...counts, skippedIndexes: 1 } }), copy('b')] },
      {},
    ],
    [
      'a copy has entries that are in no ledger',
      { copies: [copy('a', { position: '1.6' }), copy('b', { position: '1.6' })] },
      {},
    ],
    ['a copy has a write that no client made', { writes: evidence().writes.slice(0, 3) }, {}],
    ['the ledger was full', { copies: [copy('a', { counts: { ...counts, unrecorded: 1 } }), copy('b')] }, {}],
    ['a copy could not be read', { copies: [copy('a')] }, {}],
    ['no copy could be read', { copies: [] }, { lost: 4 }],
    [
      'nothing was acknowledged',
      { writes: [], copies: [copy('a', { rows: [], position: '1.0' })], copiesPerToken: 1 },
      { acknowledged: 0 },
    ],
    ['a linearizable read was stale', { staleReads: 1 }, { staleReads: 1 }],
    ['no node was killed', { kills: 0 }, {}],
    ['no token was promoted', { promotions: 0 }, {}],
    ['a token was never promoted', { failoverMs: null }, {}],
    ['the copies are spread unevenly', { spread: { primaries: { min: 0, max: 2 }, copies: { min: 1, max: 1 } } }, {}],
    ['something else went wrong', { complaints: ['node a ended with 1'] }, {}],
  ]
  test.each(wrong)('is not ok where %s', (_, given, expected) => {
    const verdict = judge(evidence(given))
    expect(verdict).toMatchObject({ ok: false, ...expected })
    expect(verdict.reasons.length).toBeGreaterThan(0)
    expect(exitCodeOf(verdict)).toBe(1)
  })
})
