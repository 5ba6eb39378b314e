/** A change of a token's options that somebody asks for: checks what comes of it, and records it. The controller carries it out. */
import type { AlterOptions } from './api.js'
import { tokenSettings } from './method-options.js'
import type { SpecChanges } from './spec-changes.js'

/**
 * Resolves when the change is recorded.
 * @throws KAGAMI_TOKEN_UNKNOWN, KAGAMI_BAD_OPTION where the token can't have what is wanted, KAGAMI_STORE_FULL, the signal's reason
 */
export async function alterToken(
  token: string,
  options: AlterOptions,
  specs: SpecChanges,
  signal: AbortSignal,
): Promise<void> {
  await specs.change(token, undefined, signal, (spec) => {
    const { replicas = spec.replicas, weight = spec.weight } = options
    const owned = { failover: options.failover ?? spec.failover, failback: options.failback ?? spec.failback }
    const checked = tokenSettings({
      primary: spec.primary,
      replicas,
      weight,
      ...(spec.primary === 'self' ? owned : pick(options)),
    })
    return { ...spec, ...checked }
  })
}

function pick({ failover, failback }: AlterOptions): AlterOptions {
  return { ...(failover === undefined ? {} : { failover }), ...(failback === undefined ? {} : { failback }) }
}
