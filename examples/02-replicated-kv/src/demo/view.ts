/** Draws the cluster as a table of nodes and tokens, at most 80 columns wide. Pure: the same picture gives the same lines. */
import type { Role } from 'kagami'

export interface Picture {
  readonly elapsedS: number
  /** What happens now. */
  readonly phase: string
  readonly operationsPerSecond: number
  readonly acknowledged: number
  readonly nodes: readonly NodeColumn[]
  readonly tokens: readonly TokenRow[]
  /** What has happened, oldest first. */
  readonly notes: readonly string[]
}

export interface NodeColumn {
  readonly id: string
  readonly state: 'up' | 'starting' | 'killed'
  readonly controller: boolean
}

export interface TokenRow {
  readonly name: string
  readonly epoch: number
  readonly operationsPerSecond: number
  readonly snapshots: number
  /** By node, in the order of the columns. Undefined: no copy there. */
  readonly cells: readonly (Cell | undefined)[]
}

export interface Cell {
  readonly role: Role
  readonly restoring: boolean
  /** Null: unknown. */
  readonly lag: number | null
}

export interface Frame {
  readonly columns: number
  /** Lines at most; undefined: as many as it takes. */
  readonly rows: number | undefined
  readonly colour: boolean
}

type Style = 'bold' | 'dim' | 'green' | 'cyan' | 'yellow' | 'red'
const codes: Readonly<Record<Style, number>> = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 }

const MAX_COLUMNS = 80
const LEFT_COLUMNS = 27
const MIN_CELL = 6
const MAX_CELL = 14
/** Title, head, totals. */
const FIXED_ROWS = 3
const MIN_NOTES = 2

export function drawTable(picture: Picture, frame: Frame): readonly string[] {
  const columns = Math.min(MAX_COLUMNS, Math.max(LEFT_COLUMNS + MIN_CELL, frame.columns))
  const paint = (text: string, style: Style): string =>
    frame.colour ? `\u001b[${codes[style]}m${text}\u001b[0m` : text
  const room = Math.floor((columns - LEFT_COLUMNS) / MIN_CELL)
  // The oldest nodes are the likeliest to be gone.
  const from = Math.max(0, picture.nodes.length - room)
  const nodes = picture.nodes.slice(from)
  const width = Math.max(MIN_CELL, Math.min(MAX_CELL, Math.floor((columns - LEFT_COLUMNS) / Math.max(1, nodes.length))))
  const { tokens, left, notes } = fit(picture, frame.rows)

  const title = `${clock(picture.elapsedS)}  ${thousands(picture.operationsPerSecond)} ops/s  ${thousands(picture.acknowledged)} writes acknowledged  ${picture.phase}`
  const head = [
    'token   epoch  ops/s  snaps ',
    ...nodes.map(({ id, state, controller }) => {
      const label = state === 'up' ? id + (controller ? '*' : '') : `${id} ${state}`
      return paint(pad(label, width), state === 'killed' ? 'red' : 'bold')
    }),
  ]
  const rows = tokens.map(({ name, epoch, operationsPerSecond, snapshots, cells }) => {
    const figures = `${pad(name, 7)}${left7(epoch, 6)}${left7(operationsPerSecond, 7)}${left7(snapshots, 7)} `
    const drawn = nodes.map((node, i) => drawCell(cells[from + i], node, width, paint))
    return figures.slice(0, LEFT_COLUMNS + 1) + drawn.join('')
  })
  const totals = nodes.map((_, i) => {
    const held = picture.tokens.map(({ cells }) => cells[from + i]).filter((cell) => cell !== undefined)
    const primaries = held.filter(({ role }) => role === 'primary').length
    return pad(
      held.length === 0 ? '' : width >= 9 ? `${primaries} of ${held.length}` : `${primaries}/${held.length}`,
      width,
    )
  })
  const footer = `${pad('primaries of copies', LEFT_COLUMNS + 1)}${totals.join('')}`
  const more = left > 0 ? [paint(`  and ${left} more tokens`, 'dim')] : []
  const lines = [paint(cut(title, columns), 'bold'), head.join(''), ...rows, ...more, paint(footer, 'dim')]
  return [...lines.map((line) => line.trimEnd()), ...notes.map((note) => cut(note, columns))]
}

/** What of the picture there are rows for: the newest notes, and as many tokens as go above them. */
function fit(
  { tokens, notes }: Picture,
  rows: number | undefined,
): {
  readonly tokens: readonly TokenRow[]
  readonly left: number
  readonly notes: readonly string[]
} {
  if (rows === undefined) return { tokens, left: 0, notes }
  const free = Math.max(1, rows - FIXED_ROWS)
  const forNotes = Math.max(Math.min(MIN_NOTES, notes.length), Math.min(notes.length, free - tokens.length))
  const forTokens = Math.max(0, free - forNotes)
  const shown = tokens.length <= forTokens ? tokens : tokens.slice(0, Math.max(0, forTokens - 1))
  return { tokens: shown, left: tokens.length - shown.length, notes: forNotes === 0 ? [] : notes.slice(-forNotes) }
}

function drawCell(
  cell: Cell | undefined,
  node: NodeColumn,
  width: number,
  paint: (text: string, style: Style) => string,
): string {
  if (node.state === 'killed') return paint(pad('x', width), 'dim')
  if (cell === undefined) return paint(pad('.', width), 'dim')
  const long = width >= 12
  if (cell.restoring) return paint(pad(long ? 'restoring' : 'rest', width), 'yellow')
  switch (cell.role) {
    case 'primary':
      return paint(pad(long ? 'PRIMARY' : 'PRIM', width), 'green')
    case 'replica':
      return paint(pad(replicaAs(cell.lag, long), width), 'cyan')
    case 'promoting':
    case 'suspended':
      return paint(pad(long ? cell.role : cell.role.slice(0, 5), width), 'yellow')
    case 'failed':
      return paint(pad(cell.role, width), 'red')
    case 'none':
      return paint(pad('.', width), 'dim')
  }
}

/** One line that says as much as fits, for where no table can be drawn again and again. */
export function drawLine({ elapsedS, operationsPerSecond, acknowledged, nodes, tokens }: Picture): string {
  const counts = nodes.map(({ id, state }, i) => {
    if (state !== 'up') return `${id} ${state}`
    const held = tokens.map(({ cells }) => cells[i]).filter((cell) => cell !== undefined)
    return `${id} ${held.filter(({ role }) => role === 'primary').length} of ${held.length}`
  })
  const lag = Math.max(0, ...tokens.flatMap(({ cells }) => cells.map((cell) => cell?.lag ?? 0)))
  const figures = `${thousands(operationsPerSecond)} ops/s, ${thousands(acknowledged)} acknowledged, lag ${lag}`
  return `${clock(elapsedS)}  ${figures} | ${counts.join(', ')}`
}

export function clock(seconds: number): string {
  return `${seconds.toFixed(1).padStart(5)} s`
}

export function thousands(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
}

/** At most four characters, below a thousand million. */
function replicaAs(lag: number | null, long: boolean): string {
  if (lag === 0) return long ? 'replica' : 'repl'
  return `${long ? 'replica ' : ''}${lag === null ? '?' : `-${compact(lag)}`}`
}

function compact(value: number): string {
  if (value < 1000) return String(value)
  return value < 1_000_000 ? `${Math.floor(value / 1000)}k` : `${Math.floor(value / 1_000_000)}M`
}

function pad(text: string, width: number): string {
  return cut(text, width - 1).padEnd(width)
}

function left7(value: number, width: number): string {
  return thousands(value).padStart(width)
}

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`
}
