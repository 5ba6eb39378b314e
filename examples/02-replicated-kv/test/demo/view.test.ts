import { describe, expect, test } from 'vitest'
import { drawLine, drawTable, type Picture } from '../../src/demo/view.js'

function picture(nodes: number, tokens: number, notes = 3): Picture {
  return {
    elapsedS: 12.3,
    phase: 'rebuilding copies',
    operationsPerSecond: 12_345,
    acknowledged: 1_234_567,
    nodes: Array.from({ length: nodes }, (_, i) => ({
      id: i < 26 ? String.fromCharCode(97 + i) : `n${i + 1}`,
      state: i === 1 ? 'killed' : i === nodes - 1 ? 'starting' : 'up',
      controller: i === 0,
    })),
    tokens: Array.from({ length: tokens }, (_, i) => ({
      name: `kv-${String(i).padStart(2, '0')}`,
      epoch: 12,
      operationsPerSecond: 4321,
      snapshots: 1234,
      cells: Array.from({ length: nodes }, (_, node) =>
        node === i % nodes
          ? { role: 'primary', restoring: false, lag: 0 }
          : node === (i + 1) % nodes
            ? { role: 'replica', restoring: i % 5 === 0, lag: i % 2 === 0 ? 0 : 123_456 }
            : undefined,
      ),
    })),
    notes: Array.from({ length: notes }, (_, i) =>
      `${i} s  something happened that takes a whole long line to tell`.repeat(2),
    ),
  }
}

describe('the table', () => {
  test.each([1, 2, 3, 4, 5, 8, 13])('of %i nodes is at most 80 columns wide', (nodes) => {
    for (const columns of [80, 132]) {
      const lines = drawTable(picture(nodes, 16), { columns, rows: undefined, colour: false })
      for (const line of lines) expect(line.length).toBeLessThanOrEqual(80)
    }
  })

  test('shows role, lag, epoch, operations and snapshots of each token at each node', () => {
    const lines = drawTable(picture(3, 16), { columns: 80, rows: undefined, colour: false })
    expect(lines[1]).toMatch(/token +epoch +ops\/s +snaps +a\* +b killed +c starting/)
    expect(lines[2]).toMatch(/kv-00 +12 +4,321 +1,234 PRIMARY +x +\./)
    expect(lines[5]).toMatch(/kv-03 +12 +4,321 +1,234 PRIMARY/)
    expect(lines.some((line) => /replica -123k/.test(line))).toBe(true)
  })

  test.each([
    [24, 16],
    [10, 16],
    [24, 64],
  ])('fits into %i rows with %i tokens, and says how many it leaves out', (rows, tokens) => {
    const lines = drawTable(picture(3, tokens, 10), { columns: 80, rows, colour: false })
    expect(lines.length).toBeLessThanOrEqual(rows)
    const shown = lines.filter((line) => /^kv-/.test(line)).length
    if (shown < tokens) expect(lines.join('\n')).toContain(`and ${tokens - shown} more tokens`)
    expect(lines.at(-1)).toContain('9 s')
  })

  test('with colours says the same', () => {
    const [plain, colour] = [false, true].map((on) => drawTable(picture(4, 16), { columns: 80, rows: 24, colour: on }))
    // eslint-disable-next-line no-control-regex
    expect(colour?.map((line) => line.replace(/\u001b\[\d+m/g, '').trimEnd())).toEqual(
      plain?.map((line) => line.trimEnd()),
    )
  })

  test('as one line names what each node holds', () => {
    expect(drawLine(picture(3, 3))).toMatch(
      /12,345 ops\/s, 1,234,567 acknowledged, lag 123456 \| a 1 of 2, b killed, c starting/,
    )
  })
})
