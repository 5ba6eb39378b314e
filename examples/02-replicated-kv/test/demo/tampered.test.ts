import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { demo, exitCodeOf } from '../../dist/demo/demo.js'
import { judge, type CopyEvidence, type Evidence } from '../../dist/demo/verdict.js'

type Output = PassThrough & NodeJS.WriteStream & { readonly fd: number }
type Row = CopyEvidence['rows'][number]

/** Changes one row of one copy: that of a write that was acknowledged. */
function changeRow(evidence: Evidence, change: (row: Row) => readonly Row[]): Evidence {
  const write = evidence.writes.find(({ state }) => state === 'acknowledged')
  let changed = false
  const copies = evidence.copies.map((copy) => {
    if (changed || write === undefined || copy.token !== write.token) return copy
    changed = true
    return {
      ...copy,
      rows: copy.rows.flatMap((row) => (row[0] === write.client && row[1] === write.number ? change(row) : [row])),
    }
  })
  return { ...evidence, copies }
}

test('wrong records of a real run are found, and make the exit code non-zero', { timeout: 180_000 }, async () => {
  let seen: Evidence | undefined
  const stdout = new PassThrough() as Output
  const stderr = new PassThrough() as Output
  stderr.resume()
  const code = await demo({
    args: ['--seconds', '6', '--json', '--tokens', '4', '--keys', '200'],
    ...{ stdout, stderr, colour: false },
    signal: new AbortController().signal,
    // What the demo itself judges has one acknowledged write less in one copy.
    inspect: (evidence) => {
      seen = evidence
      return changeRow(evidence, () => [])
    },
  })
  expect(JSON.parse(String(stdout.read()))).toMatchObject({ ok: false, lost: 1 })
  expect(code).toBe(1)

  const evidence = seen!
  expect(judge(evidence)).toMatchObject({ ok: true, lost: 0, duplicated: 0, diverged: 0 })
  const doubled = judge(
    changeRow(evidence, ([client, number, entries, , index]) => [[client, number, entries, 2, index]]),
  )
  expect([doubled.ok, doubled.duplicated, exitCodeOf(doubled)]).toEqual([false, 1, 1])
  const [first, ...others] = evidence.copies
  const diverged = judge({ ...evidence, copies: [{ ...first!, hash: 'ff'.repeat(32) }, ...others] })
  expect([diverged.ok, diverged.diverged, exitCodeOf(diverged)]).toEqual([false, 1, 1])
})
