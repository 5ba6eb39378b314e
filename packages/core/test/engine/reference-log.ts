/**
 * The rule of admission, written a second time and in another way: it keeps the whole history as text instead of counters and hashes.
 * Must share nothing with src/engine but the frames' types.
 */
import type { Frame } from '../../src/engine/frame.js'

/** A frame together with the history that its writer believed in; the engine sees only its hash. */
export interface Written {
  readonly frame: Frame
  readonly believes: string
}

export class ReferenceLog {
  readonly token: string
  incarnation = 0
  epoch = 0
  term = 0n
  deleted = false
  level = 0
  /** Everything that has counted in this incarnation: what the chain stands for. */
  history = ''
  /** The seqs that have counted in this epoch, and the entries of the incarnation, as text. */
  seqs: number[] = []
  entries: string[] = []

  constructor(token: string) {
    this.token = token
  }

  /** "accepted", "harmless", or what is wrong with the log. */
  read(
    { frame, believes }: Written,
    entriesOf: (frame: Frame) => string[],
  ): 'accepted' | 'nothing' | 'harmless' | 'gap' | 'diverged' {
    if (frame.token !== this.token) return 'harmless'
    switch (frame.kind) {
      case 'marker':
        return 'nothing'
      case 'open':
        if (!(frame.incarnation > this.incarnation)) return 'harmless'
        Object.assign(this, { incarnation: frame.incarnation, epoch: 0, term: 0n, deleted: frame.deleted, level: 0 })
        this.history = `open ${frame.incarnation}`
        this.seqs = []
        this.entries = []
        return 'accepted'
      case 'barrier':
        if (frame.incarnation > this.incarnation) return 'gap'
        if (frame.incarnation !== this.incarnation || this.deleted || !(frame.epoch > this.epoch)) return 'harmless'
        if (frame.nextIndex > this.entries.length) return 'gap'
        this.epoch = frame.epoch
        this.term = frame.term
        this.seqs = []
        this.history += ` barrier ${frame.epoch} ${frame.term}`
        return 'accepted'
      case 'level':
      case 'data': {
        const opened =
          frame.incarnation < this.incarnation ||
          (frame.incarnation === this.incarnation && (this.deleted || frame.epoch <= this.epoch))
        if (!opened) return 'gap'
        const inForce =
          frame.incarnation === this.incarnation &&
          frame.epoch === this.epoch &&
          frame.term === this.term &&
          !this.deleted
        if (!inForce) return 'harmless'
        if (frame.kind === 'level') {
          if (frame.level <= this.level) return 'harmless'
          this.level = frame.level
          return 'accepted'
        }
        if (frame.firstSeq !== this.seqs.length) return 'harmless'
        if (believes !== this.history || frame.firstIndex !== this.entries.length) return 'diverged'
        const entries = entriesOf(frame)
        for (const entry of entries) {
          this.seqs.push(this.seqs.length)
          this.entries.push(entry)
        }
        this.history += ` data ${JSON.stringify(entries)}`
        return 'accepted'
      }
    }
  }
}
