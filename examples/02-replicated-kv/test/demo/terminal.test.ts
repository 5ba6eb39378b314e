import { expect, test } from 'vitest'
import { TerminalRun } from './terminal-run.js'

const PATIENCE_MS = 180_000
/** Columns before the first node's. */
const LEFT = 28

interface Table {
  /** What stands above the columns of the nodes. */
  readonly nodes: readonly string[]
  /** By token, what stands in the column of each node. */
  readonly cells: ReadonlyMap<string, readonly string[]>
}

/** The table that is on the terminal. */
function tableOf(lines: readonly string[]): Table {
  const at = lines.findIndex((line) => line.startsWith('token   epoch'))
  const head = lines[at] ?? ''
  // A column begins where its node's name does.
  const starts = [...head.slice(LEFT).matchAll(/\S+(?: killed| starting)?/g)].map(({ index }) => LEFT + index)
  const split = (line: string): readonly string[] => starts.map((start, i) => line.slice(start, starts[i + 1]).trim())
  const rows = lines.slice(at + 1).filter((line) => line.startsWith('kv-'))
  return { nodes: split(head), cells: new Map(rows.map((row) => [row.slice(0, 5), split(row)])) }
}

test(
  'on a terminal of 80 columns the table is drawn in place: a cell for each token at each node, no line too wide',
  { timeout: PATIENCE_MS },
  async () => {
    await using run = new TerminalRun(['--seconds', '8'])
    const { terminal } = run
    await run.shows(/the clients begin/)
    expect(terminal.cursorShown).toBe(false)
    const before = tableOf(terminal.lines)
    expect(before.nodes.map((node) => node.replace('*', ''))).toEqual(['a', 'b', 'c'])
    expect(before.cells.size).toBe(16)
    for (const cells of before.cells.values()) {
      expect(cells).toHaveLength(3)
      expect(cells.filter((cell) => cell === 'PRIMARY')).toHaveLength(1)
      expect(cells.filter((cell) => cell.startsWith('replica'))).toHaveLength(1)
      expect(cells.filter((cell) => cell === '.')).toHaveLength(1)
    }

    await run.shows(/copies rebuilt/)
    const after = tableOf(terminal.lines)
    expect(after.nodes).toHaveLength(4)
    const dead = after.nodes.findIndex((node) => node.endsWith('killed'))
    expect(after.cells.size).toBe(16)
    for (const cells of after.cells.values()) {
      expect(cells).toHaveLength(4)
      expect(cells[dead]).toBe('x')
      expect(cells.filter((cell) => cell === 'PRIMARY')).toHaveLength(1)
    }

    expect(await run.ended).toBe(0)
    const { lines } = terminal
    expect(lines.filter((line) => line.startsWith('token   epoch'))).toHaveLength(1)
    expect(lines.filter((line) => line.startsWith('kv-'))).toHaveLength(16)
    expect(lines.filter((line) => line !== '').at(-1)).toBe('OK')
    expect(terminal.tooWide).toEqual([])
    expect(terminal.cursorShown).toBe(true)
    expect([run.files(), run.processes()]).toEqual([[], []])
  },
)

test.each([/writes acknowledged {2}starting/, /the clients begin/, /kill -9 of node/, /copies rebuilt/])(
  'Ctrl-C on a terminal that shows %s leaves no process and no file, and the terminal as it was',
  { timeout: PATIENCE_MS },
  async (moment) => {
    await using run = new TerminalRun(['--seconds', '8', '--keys', '200'])
    const { terminal } = run
    await run.shows(moment)
    expect(terminal.cursorShown).toBe(false)
    run.pressCtrlC()
    expect(await run.ended).toBe(130)
    expect([run.files(), run.processes()]).toEqual([[], []])
    expect(terminal.cursorShown).toBe(true)
    expect(terminal.lines.join('\n')).toContain('interrupted; nothing is left behind')
    expect(terminal.tooWide).toEqual([])
  },
)
