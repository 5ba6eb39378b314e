/** A removal that an application asks for: wishes for it, and follows it until it is in the log. The controller carries it out. */
import type { Clock } from '../contract/index.js'
import { generationOf, type Assignment } from '../engine/documents.js'
import { carriedOut } from './carried-out.js'
import type { Directory } from './directory.js'
import type { SpecChanges } from './spec-changes.js'

export interface RemovalContext {
  readonly directory: Directory
  readonly specs: SpecChanges
  readonly clock: Clock
}

/**
 * Resolves when the deletion of the token's present creation is in the log.
 * @throws KAGAMI_TOKEN_UNKNOWN, KAGAMI_STORE_FULL, the signal's reason
 */
export async function removeToken(token: string, context: RemovalContext, signal: AbortSignal): Promise<void> {
  const { directory, specs } = context
  let generation: number | undefined
  const ask = async (signal: AbortSignal): Promise<void> => {
    generation = await specs.remove(token, generation, signal)
  }
  const stands = (): boolean => {
    const spec = directory.spec(token)
    return spec !== undefined && (spec.removed || spec.generation > (generation ?? 0))
  }
  const done = (): boolean => {
    const assignment = directory.assignment(token)
    if (assignment === undefined || generation === undefined) return false
    const present = generationOf(assignment.incarnation)
    return present > generation || (present === generation && isEnded(assignment))
  }
  await carriedOut({ token, ask, stands, done }, context, signal)
}

function isEnded({ phase }: Assignment): boolean {
  return phase === 'deleted' || phase === 'gone'
}
