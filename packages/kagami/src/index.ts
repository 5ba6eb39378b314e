/**
 * `kagami`: @kagami/core with defaults. Whoever wants other engines passes their adapters, or installs @kagami/core and those alone.
 */
import { createKagami as createNode, openCluster as open, type Cluster, type Kagami } from '@kagami/core'
import { withClusterDefaults, withDefaults, type ClusterDefaultOptions, type KagamiDefaultOptions } from './options.js'

export * from '@kagami/core'
export type { ClusterDefaultOptions, KagamiDefaultOptions } from './options.js'

/**
 * Makes a node, with the embedded engine, snapshots in files and even placement for what is left open. All I/O begins in `start`.
 * @throws KAGAMI_BAD_OPTION
 */
export function createKagami<R = unknown, C = Uint8Array>(options: KagamiDefaultOptions<R, C>): Kagami<R, C> {
  return createNode(withDefaults(options))
}

/**
 * Opens a running cluster for an administrator, who is no node: the one that the embedded engine keeps in `dir`, with its snapshots, unless other
 * adapters are given. Makes nothing: where the folder does not hold the cluster it rejects.
 * @throws KAGAMI_BAD_OPTION, what an adapter rejects with, the signal's reason
 */
export async function openCluster(options: ClusterDefaultOptions): Promise<Cluster> {
  return open(withClusterDefaults(options))
}
