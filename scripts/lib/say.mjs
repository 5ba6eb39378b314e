/** What the scripts themselves say. It goes to standard error, so that a job's standard output is the job's alone. */
const colours = process.stderr.isTTY && process.env['NO_COLOR'] === undefined

export function say(message) {
  process.stderr.write(colours ? `\x1b[36m${message}\x1b[39m\n` : `${message}\n`)
}

/** A table with aligned columns; numbers to the right. `rows` are arrays of strings and numbers, the first is the head. */
export function table(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => String(row[column]).length)))
  const right = rows[0].map((_, column) => rows.slice(1).every((row) => typeof row[column] === 'number'))
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          right[column] ? String(cell).padStart(widths[column]) : String(cell).padEnd(widths[column]),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
