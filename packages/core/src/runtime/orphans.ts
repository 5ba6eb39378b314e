/** The tokens that are assigned and of which the controller finds no spec: what they are kept by meanwhile, and who is told. Writes nothing. */
import { KagamiError } from '../contract/index.js'
import type { Assignment, Spec } from '../engine/documents.js'
import { specOf } from '../engine/lost-specs.js'
import type { Events } from './events.js'
import type { Settings } from './options.js'

/** So many are named. */
const NAMED = 5

export interface OrphansContext {
  readonly settings: Settings<never, never>
  readonly events: Events
  /** For people, by what they are about. */
  readonly problems: Map<string, string>
}

export class Orphans {
  readonly #context: OrphansContext
  /** Those that were told of. */
  #told: ReadonlySet<string> = new Set()

  constructor(context: OrphansContext) {
    this.#context = context
  }

  /** Called in each round with all assignments; gives what stands in for the specs that are missing. Tells of each token once, until its spec is found. */
  specs(assignments: Iterable<Assignment>, has: (token: string) => boolean): readonly Spec[] {
    const specs: Spec[] = []
    const kept: string[] = []
    const idle: string[] = []
    for (const assignment of assignments) {
      if (has(assignment.token)) continue
      const spec = specOf(assignment)
      if (spec !== undefined) specs.push(spec)
      // What was being removed, or was not begun yet, nobody misses.
      if (assignment.phase === 'open') (spec === undefined ? idle : kept).push(assignment.token)
    }
    this.#tell(kept, idle)
    return specs
  }

  #tell(kept: readonly string[], idle: readonly string[]): void {
    const { settings, events, problems } = this.#context
    const lost = [kept.length === 0 ? undefined : keptAsAssigned(kept), idle.length === 0 ? undefined : leftAlone(idle)]
    const errors = lost.filter((error) => error !== undefined)
    if (errors.length === 0) problems.delete('specs')
    else problems.set('specs', errors.map(({ code, message }) => `${message} (${code})`).join('; '))
    const unheard = [...kept, ...idle].filter((token) => !this.#told.has(token))
    this.#told = new Set([...kept, ...idle])
    if (unheard.length === 0) return
    settings.seams.logger.error(`the coordinator has lost what is wanted of ${named(unheard)}`, { error: errors[0] })
    const lostAltogether = new Set(idle)
    for (const token of unheard) {
      const error = lostAltogether.has(token) ? leftAlone([token]) : keptAsAssigned([token])
      events.emit('spec-lost', { token, error })
    }
  }
}

function keptAsAssigned(tokens: readonly string[]): KagamiError {
  return specLost(
    tokens,
    'kept by what was wanted when it was assigned last, which the nodes with its copies write down again. If this stays, see in their logs why they can not',
  )
}

function leftAlone(tokens: readonly string[]): KagamiError {
  return specLost(
    tokens,
    'left as it is, without failover, since the assignment does not tell either. Call token() with the options that it had and adopt: true, to have it kept again',
  )
}

function specLost(tokens: readonly string[], remedy: string): KagamiError {
  const message = `the coordinator has lost what is wanted of ${named(tokens)}: each is ${remedy}`
  return new KagamiError('KAGAMI_SPEC_LOST', message, { details: { tokens: tokens.slice(0, NAMED) } })
}

function named(tokens: readonly string[]): string {
  const names = tokens.slice(0, NAMED).map((token) => `'${token}'`)
  const more = tokens.length > NAMED ? ` and ${tokens.length - NAMED} more` : ''
  return `${tokens.length === 1 ? 'token' : 'tokens'} ${names.join(', ')}${more}`
}
