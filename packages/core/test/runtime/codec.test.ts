import { describe, expect, test } from 'vitest'
import type { Codec } from '../../src/index.js'
import type { Ledger } from './harness.js'
import { bytes, TestCluster } from './harness.js'

describe('a value that the codec does not encode as bytes is refused for certain, and others are written', () => {
  const broken = new Error('broken')
  test.each<readonly [string, () => unknown]>([
    ['an ArrayBuffer', () => new ArrayBuffer(3)],
    ['a text', () => 'text'],
    ['an array', () => [1, 2, 3]],
    ['other numbers', () => Uint16Array.of(1)],
    ['nothing', () => undefined],
    ['a promise', () => Promise.resolve(bytes('late'))],
    ['a promise that rejects', () => Promise.reject(broken)],
    [
      'an error',
      () => {
        throw broken
      },
    ],
  ])('%s', async (what, encode) => {
    await using cluster = new TestCluster()
    const codec: Codec<Uint8Array> = {
      encode: (value) => (value.length === 0 ? (encode() as Uint8Array) : value),
      decode: (value) => value,
    }
    const a = await cluster.start('a', { codec })
    const orders = await a.token('orders', { replicas: 0, primary: 'self' })
    const refused = orders.replicate(new Uint8Array(0))
    const next = orders.replicate(bytes('next'))
    const error = await refused.catch((reason: unknown) => reason as Error)
    expect(error).toMatchObject({ code: 'KAGAMI_ENCODING_FAILED' })
    expect((error as Error).cause).toBe(what === 'an error' ? broken : undefined)
    await next
    expect((orders.state as Ledger).lines).toEqual(['next'])
    expect(a.health().ok).toBe(true)
  })
})

test('bytes of another realm, and of a Buffer, are bytes', async () => {
  const { runInNewContext } = await import('node:vm')
  const foreign = runInNewContext('Uint8Array.of(104, 105)') as Uint8Array
  expect(foreign instanceof Uint8Array).toBe(false)
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await orders.replicate(foreign)
  await orders.replicate(Buffer.from('ho'))
  expect((orders.state as Ledger).lines).toEqual(['hi', 'ho'])
})

test('an error that a codec raises as one of Kagami is passed on as it is', async () => {
  await using cluster = new TestCluster()
  const a = await cluster.start('a')
  const orders = await a.token('orders', { replicas: 0, primary: 'self' })
  await expect(orders.replicate('text' as unknown as Uint8Array)).rejects.toMatchObject({
    code: 'KAGAMI_BAD_OPTION',
    details: { option: 'value' },
  })
})
