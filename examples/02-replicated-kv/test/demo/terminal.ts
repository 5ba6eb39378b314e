/**
 * A terminal, as far as the demonstration and npm use one: text, line feeds, and the escape codes below. What it does not know is an
 * error, so nothing that is drawn goes unseen.
 */
const ESCAPE = '\u001b'
const MAX_CODE = 16

export class Terminal {
  readonly #columns: number
  readonly #rows: number
  /** What has scrolled out of the window, and the window. */
  readonly #lines = ['']
  #row = 0
  #column = 0
  #cursorShown = true
  /** The beginning of an escape code whose end has not come yet. */
  #rest = ''
  readonly #tooWide = new Set<string>()

  constructor(columns: number, rows: number) {
    this.#columns = columns
    this.#rows = rows
  }

  /** Everything that can be seen, by scrolling up, too. */
  get lines(): readonly string[] {
    return this.#lines.map((line) => line.trimEnd())
  }

  get cursorShown(): boolean {
    return this.#cursorShown
  }

  /** The beginnings of lines that were wider than the terminal, at whatever time. */
  get tooWide(): readonly string[] {
    return [...this.#tooWide]
  }

  write(text: string): void {
    const given = this.#rest + text
    this.#rest = ''
    for (let at = 0; at < given.length;) {
      if (given[at] !== ESCAPE) {
        this.#put(given[at++]!)
        continue
      }
      const next = given.slice(at + 1, at + MAX_CODE)
      const code = /^\[([?\d;]*)([A-Za-z])/.exec(next)
      if (code === null) {
        if (next.length >= MAX_CODE - 1) throw new Error(`an escape code that is unknown: ${JSON.stringify(next)}`)
        this.#rest = given.slice(at)
        return
      }
      this.#obey(code[1]!, code[2]!)
      at += 1 + code[0].length
    }
  }

  #put(character: string): void {
    if (character === '\r') this.#column = 0
    else if (character === '\n') this.#down()
    else {
      if (this.#column === this.#columns) {
        this.#tooWide.add(this.#lines[this.#row]!)
        this.#column = 0
        this.#down()
      }
      const line = this.#lines[this.#row]!.padEnd(this.#column)
      this.#lines[this.#row] = line.slice(0, this.#column) + character + line.slice(this.#column + 1)
      this.#column += 1
    }
  }

  #down(): void {
    this.#row += 1
    if (this.#row === this.#lines.length) this.#lines.push('')
  }

  #obey(parameter: string, letter: string): void {
    switch (letter + (parameter.startsWith('?') ? parameter : '')) {
      // Colours.
      case 'm':
        return
      case 'A':
        // Not beyond the window's first line.
        this.#row = Math.max(0, this.#lines.length - this.#rows, this.#row - Number(parameter || 1))
        return
      case 'G':
        this.#column = Number(parameter || 1) - 1
        return
      case 'K':
        if (parameter !== '' && parameter !== '0') break
        this.#lines[this.#row] = this.#lines[this.#row]!.slice(0, this.#column)
        return
      case 'J':
        if (parameter !== '' && parameter !== '0') break
        this.#lines[this.#row] = this.#lines[this.#row]!.slice(0, this.#column)
        this.#lines.fill('', this.#row + 1)
        return
      case 'l?25':
        this.#cursorShown = false
        return
      case 'h?25':
        this.#cursorShown = true
        return
    }
    throw new Error(`an escape code that is unknown: [${parameter}${letter}`)
  }
}
