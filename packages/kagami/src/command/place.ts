/** Finds and opens the cluster that a command line names: a folder, or the adapters that a module exports. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { badOption, refuseUnknownOptions, type Cluster } from '@kagami/core'
import { openCluster } from '../index.js'
import { nodeOptionNames, type ClusterDefaultOptions, type KagamiDefaultOptions } from '../options.js'
import type { Call } from './arguments.js'

/** @throws KAGAMI_BAD_OPTION, what an adapter rejects with, the signal's reason */
export async function openPlace(call: Call, signal: AbortSignal): Promise<Cluster> {
  return openCluster({ ...(await placeOf(call)), signal })
}

async function placeOf({ text }: Call): Promise<ClusterDefaultOptions> {
  const [dir, cluster, file] = [text('dir'), text('cluster'), text('config')]
  if (file === undefined) {
    if (dir === undefined) throw badOption('--dir', dir, 'the folder of the cluster, or give --config')
    if (cluster === undefined) throw badOption('--cluster', cluster, "the cluster's name, as its nodes have it")
    return { dir, cluster }
  }
  if (dir !== undefined) throw badOption('--dir', dir, 'nothing beside --config, which says where the cluster is')
  return { ...(await optionsIn(file)), ...(cluster === undefined ? {} : { cluster }) } as ClusterDefaultOptions
}

/** What a module says of where a cluster is. The options that only nodes need may be there, too: one module can serve both. */
async function optionsIn(file: string): Promise<Partial<ClusterDefaultOptions>> {
  const exported = await exportedBy(file)
  refuseUnknownOptions(exported, nodeOptionNames, 'export')
  const options: Partial<Record<keyof KagamiDefaultOptions, unknown>> = {}
  for (const name of ['cluster', 'dir', 'sessionTimeoutMs', 'coordinator', 'snapshots', 'seams'] as const) {
    const value = (exported as Partial<KagamiDefaultOptions>)[name]
    if (value !== undefined) options[name] = value
  }
  return options as Partial<ClusterDefaultOptions>
}

async function exportedBy(file: string): Promise<object> {
  let module: object
  try {
    module = (await import(pathToFileURL(resolve(file)).href)) as object
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw badOption('--config', file, `a module that can be imported: ${why}`)
  }
  const options: unknown = 'default' in module ? module.default : { ...module }
  if (typeof options === 'object' && options !== null) return options
  throw badOption('--config', file, "a module that exports createKagami's options")
}
