/** Specs as documents: what is written where somebody was faster. Whole clusters are in `tokens` and `settling`. */
import { expect, test } from 'vitest'
import type { Session } from '../../src/contract/index.js'
import { specDocument, type Spec } from '../../src/engine/documents.js'
import { systemSeams } from '../../src/index.js'
import { SPEC } from '../engine/scenario.js'
import { TokenSpecs, type SpecsContext } from '../../src/runtime/token-specs.js'

const { signal } = new AbortController()

const wanted: Spec = { ...SPEC, replicas: 0 }

/** Specs over a coordinator that holds one, and what was written to it. */
function specsWith(spec: Spec | undefined, incarnation = 0): { readonly specs: TokenSpecs; readonly written: Spec[] } {
  const written: Spec[] = []
  const session = {
    read: () => Promise.resolve({ name: '', version: 1, bytes: specDocument.encode({ tokens: spec ? [spec] : [] }) }),
    write: (_name: string, bytes: Uint8Array) => {
      written.push(...specDocument.decode(bytes, '').tokens)
      return Promise.resolve(2)
    },
  } as unknown as Session
  const { clock, random } = systemSeams()
  const assignment = () => (incarnation > 0 ? { token: 'orders', incarnation, phase: 'open' } : undefined)
  const context = { node: 'a', clock, random, session: () => session, assignment }
  return { specs: new TokenSpecs(context as unknown as SpecsContext), written }
}

test('a removal is written once, and not where it stands already', async () => {
  const first = specsWith(wanted)
  expect(await first.specs.remove('orders', undefined, signal)).toMatchObject({ generation: 1, removed: true })
  expect(first.written).toMatchObject([{ generation: 1, removed: true }])
  const again = specsWith({ ...wanted, removed: true })
  await again.specs.remove('orders', 1, signal)
  expect(again.written).toEqual([])
  await expect(again.specs.remove('orders', undefined, signal)).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
})

test('a removal that is asked for again leaves alone what was created since', async () => {
  const { specs, written } = specsWith({ ...wanted, generation: 2 })
  await specs.remove('orders', 1, signal)
  expect(written).toEqual([])
})

test('a token whose spec is lost, or older than its assignment, can be removed', async () => {
  for (const spec of [undefined, { ...wanted, removed: true }]) {
    const { specs, written } = specsWith(spec, 3)
    await specs.remove('orders', undefined, signal)
    expect(written).toMatchObject([{ token: 'orders', generation: 2, removed: true }])
  }
  await expect(specsWith(undefined).specs.remove('orders', undefined, signal)).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_UNKNOWN',
  })
})
