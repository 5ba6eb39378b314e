/**
 * What the log and the coordinator of one `embedded()` share while they run: the opened folder and the hub. Opened by
 * whichever starts first, closed by whichever stops last.
 */
import type { AdapterContext } from '@kagami/core/contract'
import { findFolder, openFolder } from './folder.js'
import type { Folder } from './folder.js'
import { Hub } from './hub.js'
import type { Settings } from './options.js'
import { ownIdentity } from './process-identity.js'

/** How often a process looks for others that it isn't connected to. Who begins connects by himself, so this is for the rest. */
const meetMs = 2_000

export interface Home {
  readonly folder: Folder
  readonly hub: Hub
  leave(): Promise<void>
}

interface Opened {
  readonly folder: Folder
  readonly hub: Hub
  readonly timer: NodeJS.Timeout
}

interface Entry {
  users: number
  readonly opening: Promise<Opened>
}

export class Homes {
  readonly #settings: Settings
  readonly #byCluster = new Map<string, Entry>()

  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** @throws KAGAMI_BAD_OPTION, KAGAMI_STORE_UNAVAILABLE, KAGAMI_STORE_FULL */
  async enter({ cluster, logger }: AdapterContext): Promise<Home> {
    let entry = this.#byCluster.get(cluster)
    if (entry === undefined) {
      entry = { users: 0, opening: open(this.#settings, cluster, logger) }
      this.#byCluster.set(cluster, entry)
    }
    const mine = entry
    mine.users++
    let left = false
    const leave = async (): Promise<void> => {
      if (left) return
      left = true
      if (--mine.users > 0) return
      if (this.#byCluster.get(cluster) === mine) this.#byCluster.delete(cluster)
      const opened = await mine.opening.catch(() => undefined)
      clearInterval(opened?.timer)
      await opened?.hub.stop()
    }
    try {
      const { folder, hub } = await mine.opening
      return { folder, hub, leave }
    } catch (error) {
      await leave()
      throw error
    }
  }
}

async function open(settings: Settings, cluster: string, logger: AdapterContext['logger']): Promise<Opened> {
  const { dir, mustExist } = settings
  const folder = await (mustExist
    ? findFolder(dir, cluster, ownIdentity())
    : openFolder(dir, cluster, ownIdentity(), logger))
  const hub = new Hub(folder, logger)
  await hub.start()
  return { folder, hub, timer: setInterval(() => void hub.meet(), meetMs) }
}
