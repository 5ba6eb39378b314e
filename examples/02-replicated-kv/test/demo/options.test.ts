import { expect, test } from 'vitest'
import { parseOptions } from '../../src/demo/options.js'
import { randomStream, scramble, zipfian } from '../../src/demo/random.js'

test('without options the demo has three nodes, sixteen tokens, one replica, one kill and half a minute', () => {
  const standard = { nodes: 3, tokens: 16, replicas: 1, seconds: 30, kills: 1, json: false }
  expect(parseOptions([])).toMatchObject(standard)
})

test('every option changes what it names', () => {
  const args = ['--nodes', '5', '--tokens=8', '--replicas', '2', '--seconds', '9', '--kills', '3', '--json']
  expect(parseOptions(args)).toMatchObject({ nodes: 5, tokens: 8, replicas: 2, seconds: 9, kills: 3, json: true })
})

test.each([
  [['--nodes', '0'], '--nodes is 0; expected a whole number from 1 to 12'],
  [['--tokens', 'many'], '--tokens is many'],
  [['--seconds', '1.5'], '--seconds is 1.5'],
  [['--replicas', '0'], '--kills needs'],
  [['--nodes', '1'], '--kills needs'],
  [['--unknown'], '--unknown'],
  [['stray'], 'stray'],
])('%j is refused with what would be right', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message)
})

test('the same seed makes the same choices, and few keys get most of them', () => {
  const drawn = (seed: number): readonly number[] => {
    const draw = zipfian(1000, randomStream(seed))
    return Array.from({ length: 20_000 }, () => draw())
  }
  expect(drawn(1)).toEqual(drawn(1))
  expect(drawn(1)).not.toEqual(drawn(2))
  const ranks = drawn(1)
  expect(ranks.every((rank) => rank >= 0 && rank < 1000)).toBe(true)
  // With theta 0.99 and 1000 items the first rank has 1 / 7.5 of the weight, the first hundred about 70 %.
  expect(ranks.filter((rank) => rank === 0).length / ranks.length).toBeCloseTo(0.13, 1)
  expect(ranks.filter((rank) => rank < 100).length / ranks.length).toBeCloseTo(0.7, 1)
  expect(new Set(ranks.map((rank) => scramble(rank, 1000))).size).toBeGreaterThan(400)
})
