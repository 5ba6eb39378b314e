/** Specs as documents: what is written where somebody was faster. Whole clusters are in `tokens` and `settling`. */
import { expect, test } from 'vitest'
import type { Session } from '../../src/contract/index.js'
import { specDocument, type Spec } from '../../src/engine/documents.js'
import { KagamiError, systemSeams } from '../../src/index.js'
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
  expect(await first.specs.remove('orders', undefined, signal)).toBe(1)
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

/** Specs over a coordinator whose first write lands, and whose answer is lost; then it holds what others have made of it. */
function answerLost(then: Spec): { readonly specs: TokenSpecs; readonly written: Spec[] } {
  const written: Spec[] = []
  let present = wanted
  const session = {
    read: () => Promise.resolve({ name: '', version: 1, bytes: specDocument.encode({ tokens: [present] }) }),
    write: (_name: string, bytes: Uint8Array) => {
      written.push(...specDocument.decode(bytes, '').tokens)
      if (present === then) return Promise.resolve(2)
      present = then
      return Promise.reject(new KagamiError('KAGAMI_COORDINATOR_UNAVAILABLE', 'no answer', { retryable: true }))
    },
  } as unknown as Session
  const { clock, random } = systemSeams()
  const context = { node: 'a', clock, random, session: () => session, assignment: () => undefined }
  return { specs: new TokenSpecs(context as unknown as SpecsContext), written }
}

const createdSince: Spec = { ...wanted, generation: 2, removedBefore: 1 }

test('S1: a removal whose answer is lost leaves alone what was created before it is asked for again', async () => {
  const { specs, written } = answerLost(createdSince)
  expect(await specs.remove('orders', undefined, signal)).toBe(1)
  expect(written).toMatchObject([{ generation: 1, removed: true }])
})

test('a change whose answer is lost is not made to what was created since', async () => {
  const { specs, written } = answerLost(createdSince)
  const change = specs.change('orders', undefined, signal, (spec) => ({ ...spec, weight: 5 }))
  await expect(change).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  expect(written).toMatchObject([{ generation: 1, weight: 5 }])
  const again = specsWith(createdSince)
  const asked = again.specs.change('orders', 1, signal, (spec) => ({ ...spec, weight: 5 }))
  await expect(asked).rejects.toMatchObject({ code: 'KAGAMI_TOKEN_UNKNOWN' })
  expect(again.written).toEqual([])
  const still = answerLost({ ...wanted, replicas: 3 })
  await still.specs.change('orders', undefined, signal, (spec) => ({ ...spec, weight: 5 }))
  expect(still.written).toMatchObject([{ weight: 5 }, { replicas: 3, weight: 5 }])
})

test('who asks again finds what people have altered since as wanted, and creates nothing that they have removed', async () => {
  const altered = { ...wanted, replicas: 2 }
  await expect(specsWith(altered).specs.ensure('orders', wanted, false, signal)).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OPTIONS',
  })
  expect(await specsWith(altered).specs.ensure('orders', wanted, false, signal, wanted)).toEqual(altered)
  const anew = { ...altered, generation: 2, removedBefore: 1 }
  await expect(specsWith(anew).specs.ensure('orders', wanted, false, signal, wanted)).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_OPTIONS',
  })
  const { specs, written } = specsWith({ ...wanted, removed: true })
  await expect(specs.ensure('orders', wanted, false, signal, wanted)).rejects.toMatchObject({
    code: 'KAGAMI_TOKEN_UNKNOWN',
  })
  expect(written).toEqual([])
})
