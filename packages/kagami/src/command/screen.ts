/** Shows one state after another: in place on a terminal, each below the last anywhere else. */

const HOME = '\u001b[H'
const CLEAR_LINE = '\u001b[K'
const CLEAR_BELOW = '\u001b[J'

export function show(out: Pick<NodeJS.WriteStream, 'write' | 'isTTY' | 'rows'>, text: string): void {
  if (!out.isTTY) {
    out.write(`${text}\n\n`)
    return
  }
  const lines = text.split('\n')
  const room = Math.max(2, out.rows - 1)
  // The last lines say what is wrong, and how it is altogether.
  const over = lines.length - room + 1
  const shown = over <= 1 ? lines : [`(${over} lines that do not fit are left out)`, ...lines.slice(over)]
  out.write(`${HOME}${shown.map((line) => `${line}${CLEAR_LINE}\n`).join('')}${CLEAR_BELOW}`)
}
