/**
 * `kagami`: @kagami/core with defaults. Whoever wants other engines passes their adapters, or installs @kagami/core and those alone.
 */
import { createKagami as createNode, type Kagami } from '@kagami/core'
import { withDefaults, type KagamiDefaultOptions } from './options.js'

export * from '@kagami/core'
export type { KagamiDefaultOptions } from './options.js'

/**
 * Makes a node, with the embedded engine, snapshots in files and even placement for what is left open. All I/O begins in `start`.
 * @throws KAGAMI_BAD_OPTION
 */
export function createKagami<R = unknown, C = Uint8Array>(options: KagamiDefaultOptions<R, C>): Kagami<R, C> {
  return createNode(withDefaults(options))
}
