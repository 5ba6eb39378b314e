/** The hash chain: "the hash chain so far" in each frame; equal chains mean that the same has counted, in the same order. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { chainAfterBarrier, chainAfterData, chainOfOpen } from '../../src/engine/chain.js'
import { encodeEntries } from '../../src/engine/frame.js'
import { LARGEST_TERM, text } from './frames.js'
import { forAll } from './support.js'

type Link = { readonly epoch: number; readonly term: bigint } | { readonly body: Uint8Array }

function chainOf(token: string, incarnation: number, links: readonly Link[]): bigint {
  let chain = chainOfOpen(token, incarnation)
  for (const link of links) {
    chain = 'body' in link ? chainAfterData(chain, link.body) : chainAfterBarrier(chain, link.epoch, link.term)
  }
  return chain
}

const link: fc.Arbitrary<Link> = fc.oneof(
  fc.record({ epoch: fc.integer({ min: 1, max: 3 }), term: fc.bigInt({ min: 1n, max: 3n }) }),
  fc.record({ body: fc.uint8Array({ maxLength: 3 }) }),
)
const history = fc.record({
  token: fc.constantFrom('a', 'b'),
  incarnation: fc.integer({ min: 1, max: 2 }),
  links: fc.array(link, { maxLength: 5 }),
})

function shown({ token, incarnation, links }: { token: string; incarnation: number; links: readonly Link[] }): string {
  return JSON.stringify([
    token,
    incarnation,
    links.map((one) => ('body' in one ? [...one.body] : `${one.epoch}/${one.term}`)),
  ])
}

describe('the chain', () => {
  test('two histories have the same chain exactly when they are the same', () => {
    let same = 0
    forAll(fc.tuple(history, history, fc.boolean()), 2_000, ([a, other, again]) => {
      const b = again ? structuredClone(a) : other
      const equal = shown(a) === shown(b)
      if (equal) same += 1
      expect(chainOf(a.token, a.incarnation, a.links) === chainOf(b.token, b.incarnation, b.links)).toBe(equal)
    })
    expect(same).toBeGreaterThan(500)
  })

  test('depends on the order of what counted, and on how it was cut into frames', () => {
    const start = chainOfOpen('orders', 1)
    const [x, y] = [encodeEntries([text('x')]), encodeEntries([text('y')])]
    const oneByOne = chainAfterData(chainAfterData(start, x), y)
    expect(oneByOne).not.toBe(chainAfterData(chainAfterData(start, y), x))
    expect(oneByOne).not.toBe(chainAfterData(start, encodeEntries([text('x'), text('y')])))
    expect(chainAfterData(start, encodeEntries([text('xy')]))).not.toBe(
      chainAfterData(start, encodeEntries([text('x'), text('y')])),
    )
  })

  test('a frame without entries moves it on too', () => {
    expect(chainAfterData(7n, new Uint8Array(0))).not.toBe(7n)
  })

  test('is an unsigned number of 64 bits, and uses all of them', () => {
    let all = 0n
    forAll(history, 500, ({ token, incarnation, links }) => {
      const chain = chainOf(token, incarnation, links)
      expect(chain >= 0n && chain <= LARGEST_TERM).toBe(true)
      all |= chain
    })
    expect(all).toBe(LARGEST_TERM)
  })

  test('never changes: it stands in every frame and in every snapshot', () => {
    const opened = chainOfOpen('orders', 1)
    const served = chainAfterBarrier(opened, 7, 0x0123456789abcdefn)
    const written = chainAfterData(served, encodeEntries([text('hi'), text('')]))
    expect([opened, served, written].map((chain) => chain.toString(16))).toEqual([
      '5d3303d73b927ec',
      '6577887f81055ff9',
      'cee391399643380f',
    ])
  })
})
