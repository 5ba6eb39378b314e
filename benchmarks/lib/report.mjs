/** Lays measurements out as a table for a terminal or for markdown. Computes nothing but the text. */

/**
 * One line of the table.
 * @typedef {object} Row
 * @property {string} id stable, for programs
 * @property {string} what for people
 * @property {string} shown the measured value, with its unit
 * @property {string} [against] what it is compared with, with its value
 * @property {number} [ratio] of the two
 * @property {string} [wanted] the bound that is aimed at; never enforced
 * @property {boolean} [met] whether this run kept it
 * @property {number} samples
 * @property {Record<string, unknown>} [figures] the numbers themselves, and more of them
 * @property {string[]} [notes]
 */

const heads = ['measured', 'Kagami', 'compared with', 'ratio', 'wanted', 'samples']

/** @param {readonly Row[]} rows */
function cells(rows) {
  return rows.map((row) => [
    row.what,
    row.shown,
    row.against ?? '',
    row.ratio === undefined ? '' : row.ratio.toFixed(2),
    row.wanted === undefined ? '' : `${row.wanted}${row.met === undefined ? '' : row.met ? ' ✓' : ' ✗'}`,
    String(row.samples),
  ])
}

/** @param {readonly Row[]} rows */
export function textTable(rows) {
  const lines = [heads, ...cells(rows)]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  const right = new Set([3, 5])
  const draw = (line) =>
    line
      .map((cell, i) => (right.has(i) ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd()
  return [draw(heads), widths.map((width) => '─'.repeat(width)).join('  '), ...lines.slice(1).map(draw)].join('\n')
}

/** @param {readonly Row[]} rows */
export function markdownTable(rows) {
  const draw = (line) => `| ${line.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [draw(heads), draw(['---', '---', '---', '---:', '---', '---:']), ...cells(rows).map(draw)].join('\n')
}

/** @param {number} perSecond */
export function rate(perSecond) {
  return `${Math.round(perSecond).toLocaleString('en-US')}/s`
}

/** @param {number} value */
export function ms(value) {
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ms`
}

/** @param {number} bytesPerSecond */
export function megabytes(bytesPerSecond) {
  return `${Math.round(bytesPerSecond / 1e6).toLocaleString('en-US')} MB/s`
}

/** @param {number} value */
export function percent(value) {
  return `${value.toFixed(value < 10 ? 2 : 0)} %`
}
