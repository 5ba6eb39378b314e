/** What a node puts back of its tokens. Whole clusters that lose documents are in `lost-documents`. */
import { expect, test } from 'vitest'
import type { Assignment, CopyReport, Spec } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import { SPEC } from '../engine/scenario.js'
import { Reinstatement } from '../../src/runtime/reinstatement.js'

const log = { address: 'log-1', identity: 'one' }
const spec: Spec = { ...SPEC, replicas: 0 }

/** What is put back by a node that remembers the spec, and holds a copy that has read up to this incarnation. */
async function putBack(incarnation: number, remembered = spec, present?: Spec): Promise<Spec | undefined> {
  const seams = systemSeams()
  let looks = 0
  const quiet = (): void => undefined
  const report = { token: 'orders', incarnation, epoch: 3, phase: 'running' } as CopyReport
  const copy = { token: 'orders', assignment: { token: 'orders', log } as Assignment, report: () => report }
  const controller = new AbortController()
  return new Promise((resolve, reject) => {
    const reinstatement = new Reinstatement({
      seams: {
        ...seams,
        // It is asked before each look: the second comes only where nothing was put back at the first.
        random: {
          ...seams.random,
          fraction: () => {
            looks += 1
            if (looks > 1) resolve(undefined)
            return 0
          },
        },
        logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      },
      directory: {
        loaded: true,
        spec: () => present,
        isDamaged: () => false,
      } as unknown as ConstructorParameters<typeof Reinstatement>[0]['directory'],
      specs: {
        reinstate: (wanted: Spec) => {
          resolve(wanted)
          controller.abort(new Error('enough'))
          return Promise.resolve()
        },
      } as unknown as ConstructorParameters<typeof Reinstatement>[0]['specs'],
      session: () => ({}) as never,
      copies: () => [copy],
    })
    reinstatement.heard(remembered)
    reinstatement.run(controller.signal).catch(reject)
  })
}

test.each([
  [1, { generation: 1, removed: false, adopt: { incarnation: 1, epoch: 3, log } }],
  [2, { generation: 1, removed: true, adopt: null }],
  [3, { generation: 2, removed: false, adopt: { incarnation: 3, epoch: 3, log } }],
  [4, { generation: 2, removed: true, adopt: null }],
])('S3: of a token that is at incarnation %i: what has ended is not brought back', async (incarnation, wanted) => {
  expect(await putBack(incarnation)).toMatchObject(wanted)
})

test('the handover that was asked for is put back, but not one of an earlier creation, nor of what has ended', async () => {
  const handover = { to: 'b', nonce: 'n' }
  expect(await putBack(1, { ...spec, handover })).toMatchObject({ handover })
  expect(await putBack(3, { ...spec, handover })).toMatchObject({ generation: 2, handover: null })
  expect(await putBack(2, { ...spec, handover })).toMatchObject({ removed: true, handover: null })
})

test('S1: a removal that is remembered ends nothing that was created since, under a lower number, and that lives here', async () => {
  const removed = { ...spec, generation: 9, removed: true }
  const created = { ...spec, generation: 5 }
  expect(await putBack(9, removed, created)).toBeUndefined()
  const later = { ...spec, generation: 9, removedBefore: 8 }
  expect(await putBack(9, later, created)).toBeUndefined()
  expect(await putBack(9, { ...later, removedBefore: 4 }, created)).toMatchObject({ generation: 9, removed: false })
  // What lives here is what was removed, or older than what is wanted.
  expect(await putBack(17, removed, { ...spec, generation: 9 })).toMatchObject({ generation: 9, removed: true })
  expect(await putBack(7, removed, created)).toMatchObject({ generation: 9, removed: true })
  expect(await putBack(9, removed, undefined)).toMatchObject({ generation: 9, removed: true })
})
