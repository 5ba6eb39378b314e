/** Where the demonstration is shown: a table that is drawn again in place on a terminal, plain lines anywhere else. */
import type { WriteStream } from 'node:tty'
import { clock, drawLine, drawTable, type Picture } from './view.js'

export interface Screen {
  /** The picture as it is now; called often. */
  show(picture: Picture): void
  /** Something has happened. A terminal shows it below the table, with the next picture. */
  note(line: string): void
  /** Leaves what is there, and goes on below it. */
  end(): void
}

type Out = NodeJS.WriteStream & { readonly fd: number }

export function screenFor(out: Out, colourWanted: boolean): Screen {
  return out.isTTY ? terminal(out, colourWanted) : plain(out)
}

const REDRAW_EVERY_MS = 200
const hideCursor = '\u001b[?25l'
const showCursor = '\u001b[?25h'
const clearBelow = '\u001b[J'

function terminal(out: WriteStream, colour: boolean): Screen {
  let drawn = 0
  let shownAtMs = -Infinity
  let last: Picture | undefined
  let ended = false
  const draw = (picture: Picture): void => {
    const lines = drawTable(picture, { columns: out.columns, rows: Math.max(8, out.rows - 1), colour })
    const up = drawn === 0 ? hideCursor : `\u001b[${drawn}A\r`
    out.write(`${up}${clearBelow}${lines.join('\n')}\n`)
    drawn = lines.length
  }
  return {
    show(picture) {
      last = picture
      if (ended || performance.now() - shownAtMs < REDRAW_EVERY_MS) return
      shownAtMs = performance.now()
      draw(picture)
    },
    note: () => undefined,
    end() {
      if (ended) return
      ended = true
      if (last !== undefined) draw(last)
      if (drawn > 0) out.write(showCursor)
    },
  }
}

/** A line for each thing that happens and one for every few seconds, and the table where something has changed. */
const LINE_EVERY_S = 2

function plain(out: NodeJS.WritableStream): Screen {
  let nextLineS = 0
  let last: Picture | undefined
  return {
    show(picture) {
      last = picture
      if (picture.elapsedS < nextLineS) return
      nextLineS = picture.elapsedS + LINE_EVERY_S
      out.write(`${drawLine(picture)}\n`)
    },
    note: (line) => void out.write(`${line}\n`),
    end() {
      if (last === undefined) return
      const table = drawTable({ ...last, notes: [] }, { columns: 80, rows: undefined, colour: false })
      out.write(`${table.join('\n')}\n`)
    },
  }
}

/** A note, with the time that it belongs to. */
export function noteAt(elapsedS: number, text: string): string {
  return `${clock(elapsedS)}  ${text}`
}
