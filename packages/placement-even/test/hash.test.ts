/** The hash that breaks ties: the same for ever, since a change of it would place every new cluster differently. */
import { expect, test } from 'vitest'
import { hashString, score } from '../src/hash.js'

test('the hashes of known strings do not change', () => {
  expect([hashString('', 0), hashString('orders', 0), hashString('鏡', 0), hashString('orders', 1)])
    .toMatchInlineSnapshot(`
    [
      2872998923,
      3502484104,
      4146425338,
      2516084949,
    ]
  `)
  expect(score(hashString('orders', 0), hashString('a', 0))).toMatchInlineSnapshot(`2958435987`)
})

test('rendezvous scores give every node about the same number of firsts', () => {
  const nodes = Array.from({ length: 10 }, (_, i) => hashString(`node-${i}`, 0))
  const wins = nodes.map(() => 0)
  for (let t = 0; t < 10_000; t++) {
    const scores = nodes.map((node) => score(hashString(`token-${t}`, 0), node))
    wins[scores.indexOf(Math.max(...scores))]!++
  }
  // 1000 each, with a standard deviation of 30.
  expect(Math.min(...wins)).toBeGreaterThan(850)
  expect(Math.max(...wins)).toBeLessThan(1150)
})
