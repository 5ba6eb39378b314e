import { describe, expect, test } from 'vitest'
import { median, ratios, summary } from '../lib/stats.mjs'

describe('statistics', () => {
  test('nothing measured is an error that names what was to be measured, never a figure', () => {
    expect(() => summary('a gap', [])).toThrow('a gap: nothing was measured')
    expect(() => median('a rate', [])).toThrow('a rate: nothing was measured')
    expect(() => ratios('a ratio', [], [])).toThrow('a ratio: nothing was measured')
  })

  test('a sample that is no number is an error, not a part of a figure', () => {
    expect(() => median('a rate', [1, NaN, 2])).toThrow('NaN among the samples')
    expect(() => ratios('a ratio', [1], [0])).toThrow('Infinity among the samples')
  })

  test('quantiles are samples, but for the middle of an even number', () => {
    const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
    expect(summary('hundred', hundred)).toEqual({
      samples: 100,
      p10: 10,
      p50: 50.5,
      p90: 90,
      p99: 99,
      min: 1,
      max: 100,
    })
    expect(summary('one', [7])).toEqual({ samples: 1, p10: 7, p50: 7, p90: 7, p99: 7, min: 7, max: 7 })
    expect(median('three', [9, 1, 5])).toBe(5)
  })

  test('a ratio is the middle of the ratios of each round, and both sides must have been measured in every round', () => {
    expect(ratios('twice', [2, 20, 200], [1, 10, 100]).p50).toBe(2)
    expect(() => ratios('a ratio', [1, 2], [1])).toThrow('2 samples against 1')
  })
})
