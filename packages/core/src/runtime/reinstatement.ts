/**
 * Puts back what people want of the tokens that this node holds, where the coordinator has lost it or has gone back to something older: as this node has
 * heard it, or else as the token was assigned by it. The copies say how far each token has come.
 */
import type { Seams, Session } from '../contract/index.js'
import {
  generationOf,
  isEnd,
  isLater,
  isRemoved,
  type Assignment,
  type CopyReport,
  type Spec,
} from '../engine/documents.js'
import { specOf, standingHandover } from '../engine/lost-specs.js'
import type { Directory } from './directory.js'
import type { SpecChanges } from './spec-changes.js'
import { sleep } from './waiting.js'

/** Documents that vanish together come back together: a node waits a little for the coordinator before it puts them back. */
const AFTER_MS = 500

export interface ReinstatementContext {
  readonly seams: Seams
  readonly directory: Directory
  readonly specs: SpecChanges
  session(): Session | undefined
  copies(): Iterable<{ readonly token: string; readonly assignment: Assignment; report(): CopyReport }>
}

export class Reinstatement {
  readonly #context: ReinstatementContext
  readonly #remembered = new Map<string, Spec>()

  constructor(context: ReinstatementContext) {
    this.#context = context
  }

  heard(spec: Spec): void {
    const remembered = this.#remembered.get(spec.token)
    // A document that has gone back is not what people want.
    if (remembered === undefined || !isLater(remembered, spec)) this.#remembered.set(spec.token, spec)
  }

  async run(signal: AbortSignal): Promise<void> {
    const { directory, specs } = this.#context
    const { clock, random, logger } = this.#context.seams
    for (;;) {
      await sleep(clock, AFTER_MS * (1 + random.fraction()), signal)
      for (const copy of this.#context.copies()) {
        const { token } = copy
        const remembered = this.#remembered.get(token) ?? specOf(copy.assignment)
        if (remembered === undefined || !directory.loaded || this.#context.session() === undefined) continue
        const { incarnation, epoch, phase } = copy.report()
        // A copy that has failed may be one of something that is over.
        if (incarnation === 0 || phase === 'failed') continue
        const generation = generationOf(incarnation)
        // Where only an older creation is remembered, its options are the best that is known.
        const older = generation > remembered.generation
        const known = older ? { ...remembered, generation, removed: false, handover: null } : remembered
        // What has ended in the log is not brought back, though nobody is left who remembers why.
        const ended = generation === known.generation && isEnd(incarnation)
        const wanted = ended ? { ...known, removed: true } : known
        const present = directory.isDamaged(token) ? undefined : directory.spec(token)
        if (!isLater(wanted, present)) continue
        // A clock that is behind may have given a later creation a lower number. Nobody wants the one to end that is wanted, and that lives here.
        const lives = present?.generation === generation && !present.removed && !isEnd(incarnation)
        if (lives && wanted.generation > generation && isRemoved(wanted, incarnation)) continue
        logger.warn(`the coordinator has lost what is wanted of token '${token}'; putting it back`)
        const adopt = isEnd(incarnation) ? null : { incarnation, epoch, log: copy.assignment.log }
        await specs
          .reinstate({ ...wanted, handover: standingHandover(wanted, copy.assignment), adopt }, signal)
          .catch((error: unknown) => logger.warn(`token '${token}' could not be put back; trying again`, { error }))
      }
    }
  }
}
