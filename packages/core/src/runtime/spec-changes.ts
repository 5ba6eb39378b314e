/**
 * What anybody may change of tokens that are there: alters, hands over, removes, puts back. Every change is safe to repeat, so an unknown outcome is
 * settled by reading again. Creates nothing.
 */
import { generationOf, isLater, type Assignment, type Spec } from '../engine/documents.js'
import { noWishes, specOf } from '../engine/lost-specs.js'
import { unknownToken } from './copy-errors.js'
import { SpecWriter, type SpecWriterContext } from './spec-writer.js'

export interface SpecChangesContext extends SpecWriterContext {
  assignment(token: string): Assignment | undefined
}

export class SpecChanges {
  readonly #context: SpecChangesContext
  protected readonly writer: SpecWriter
  /** Of its own, since whoever waits for what it puts back must not keep it from doing so. */
  readonly #mender: SpecWriter

  constructor(context: SpecChangesContext) {
    this.#context = context
    this.writer = new SpecWriter(context)
    this.#mender = new SpecWriter(context, { anew: true })
  }

  /**
   * Changes creation `generation`, or whichever there is.
   * @throws KAGAMI_TOKEN_UNKNOWN, also where it has been removed, and another made, before that could be written
   */
  async change(
    token: string,
    generation: number | undefined,
    signal: AbortSignal,
    change: (spec: Spec) => Spec,
  ): Promise<Spec> {
    let meant = generation
    const spec = await this.writer.update(token, signal, (stands) => {
      const current = stands ?? this.lost(token)
      if (current === undefined || current.removed) throw unknownToken(token)
      meant ??= current.generation
      if (current.removedBefore >= meant) throw unknownToken(token)
      // What is wanted from now on is wanted of the creation that is there, though the document was older.
      return change({ ...current, generation: Math.max(current.generation, this.assigned(token)) })
    })
    return spec as Spec
  }

  /**
   * Marks the token as removed: creation `generation`, or whichever there is; gives which. Leaves one that was created later alone, also where it was created
   * after this was written, and before the answer came.
   * @throws KAGAMI_TOKEN_UNKNOWN
   */
  async remove(token: string, generation: number | undefined, signal: AbortSignal): Promise<number> {
    let meant = generation
    await this.writer.update(token, signal, (current) => {
      const latest = Math.max(current?.generation ?? 0, this.assigned(token))
      if (current !== undefined && meant !== undefined && (current.removed || latest > meant)) return current
      // Where the spec is lost, or older than what is assigned, there is something to remove all the same.
      const over = current === undefined ? latest === 0 : current.removed && latest === current.generation
      if (over) throw unknownToken(token)
      meant ??= latest
      return { ...(current ?? forgotten(token)), generation: latest, removed: true, handover: null }
    })
    return meant as number
  }

  /**
   * Puts a spec back that the coordinator has lost, or of which it has only an earlier state, unless somebody did already. A document whose bytes are damaged
   * has lost all of its specs, and is written anew.
   */
  async reinstate(spec: Spec, signal: AbortSignal): Promise<void> {
    await this.#mender.update(spec.token, signal, (current) => (isLater(spec, current) ? spec : current))
  }

  /** What was wanted of a token whose spec is lost, as far as its assignment tells. */
  protected lost(token: string): Spec | undefined {
    const assignment = this.#context.assignment(token)
    return assignment === undefined ? undefined : specOf(assignment)
  }

  /** The creation that an assignment speaks of; 0: there is none. */
  protected assigned(token: string): number {
    const assignment = this.#context.assignment(token)
    return assignment === undefined || assignment.phase === 'gone' ? 0 : generationOf(assignment.incarnation)
  }
}

/** What stands for the options of a token of which only the assignment is left. */
function forgotten(token: string): Omit<Spec, 'generation' | 'removed'> {
  return { token, removedBefore: 0, ...noWishes, handover: null, adopt: null }
}
