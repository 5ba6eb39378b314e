/** Text for a terminal: lines and tables of a width, and how figures and names are shown. Pure. */

/** Names are any text, and must not steer a terminal: neither by control characters nor by turning the direction of writing. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Breaks at spaces, and inside of words that are too long. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (let word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length <= width) {
      line += ` ${word}`
      continue
    }
    if (line !== '') lines.push(line)
    for (; word.length > width; word = word.slice(width)) lines.push(word.slice(0, width))
    line = word
  }
  return [...lines, line]
}

export type Row = readonly (string | number)[]

/** Stands where there is nothing. */
export const NONE = '-'

const GAP = 2
const LEAST = 6
const LONG_WORD = 24

/** Aligned columns, those of numbers to the right, within `width`: what is too wide goes on in the next line. The first row is the head. */
export function table(rows: readonly Row[], width: number): string {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? thousands(cell) : printable(cell))))
  const head = texts[0] ?? []
  const right = head.map((_, column) =>
    rows.slice(1).every((row) => typeof row[column] === 'number' || row[column] === NONE),
  )
  const widths = head.map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)))
  narrow(widths, wordWidths(texts), width - GAP * (widths.length - 1))
  const lines: string[] = []
  for (const row of texts) {
    const cells = row.map((cell, column) => wrap(cell, widths[column] ?? cell.length))
    for (let i = 0; i < Math.max(...cells.map(({ length }) => length)); i++) {
      const parts = cells.map((cell, column) =>
        right[column] ? (cell[i] ?? '').padStart(widths[column] ?? 0) : (cell[i] ?? '').padEnd(widths[column] ?? 0),
      )
      lines.push(parts.join(' '.repeat(GAP)).trimEnd())
    }
  }
  return lines.join('\n')
}

/** Takes from the widest column first, and inside of words last. */
function narrow(widths: number[], words: readonly number[], room: number): void {
  for (const floors of [words, words.map(() => LEAST)]) {
    for (let over = widths.reduce((sum, each) => sum + each, 0) - room; over > 0; over--) {
      const spare = widths.map((each, column) => (each > (floors[column] ?? 0) ? each : 0))
      const widest = Math.max(...spare)
      if (widest === 0) break
      widths[spare.indexOf(widest)] = widest - 1
    }
  }
}

/** The longest word of each column, but no longer than some: a name may be as long as it likes. */
function wordWidths(texts: readonly (readonly string[])[]): number[] {
  return (texts[0] ?? []).map((_, column) => {
    const words = texts.flatMap((row) => (row[column] ?? '').split(' '))
    return Math.min(LONG_WORD, Math.max(...words.map(({ length }) => length)))
  })
}

export function thousands(value: number): string {
  return value.toLocaleString('en-US')
}

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = count / 1024
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024
  return `${value < 10 ? value.toFixed(1) : thousands(Math.round(value))} ${units[unit]}`
}

/** How long ago, in one unit. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s ago`
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h ago` : `${Math.round(seconds / 86_400)} d ago`
}
