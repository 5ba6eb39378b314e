/** What goes wrong with nodes and servers: kills, pauses, cuts, expiries, wipes, rot. Ends everything that it began when it is told to stop. */
import { specDocument } from '@kagami/core/engine'
import type { Ghost } from '../check/ghost.js'
import { faultKinds, type FaultKind } from '../kernel/faults.js'
import type { Service } from '../kernel/process.js'
import type { World } from '../world/wire.js'
import type { Backup } from '../world/coordinator-server.js'
import type { Cluster, Servers } from './cluster.js'

export interface ChaosOptions {
  readonly world: World
  readonly cluster: Cluster
  readonly servers: Servers
  readonly ghost: Ghost
  readonly tokens: readonly string[]
}

/** How often chance is asked, in virtual milliseconds. */
const stepMs = 100

export class Chaos {
  readonly #options: ChaosOptions
  readonly #mends = new Set<() => void>()
  #backup: { readonly of: Backup; readonly lives: string } | undefined
  #poisons = 0
  #on = true

  constructor(options: ChaosOptions) {
    this.#options = options
  }

  begin(): void {
    const { scheduler, chance, faults, trace } = this.#options.world
    const kinds = faultKinds.filter((kind) => kind in this.#acts)
    const step = (): void => {
      if (!this.#on) return
      for (const kind of kinds) {
        if (!chance.happens((faults.rate(kind) * stepMs) / 1000)) continue
        if (this.#acts[kind]?.() !== false) trace.count(`fault.${kind}`)
      }
      if (chance.happens(0.02)) this.#backup = { of: this.#options.servers.coordinator.backup(), lives: this.#lives() }
      scheduler.after(stepMs, undefined, step)
    }
    scheduler.after(2000, undefined, step)
  }

  /** Mends everything, and starts what is down. */
  stop(): void {
    this.#on = false
    for (const mend of [...this.#mends]) mend()
    const { cluster } = this.#options
    for (const node of cluster.all()) {
      node.poisoned.clear()
      // A copy that has failed waits for people, who mend what it says and start the node again.
      if (node.hasFailed) cluster.kill(node.process.node)
    }
    for (const name of this.#options.cluster.names) this.#options.cluster.start(name)
  }

  /** Undoes a fault after a while, or when faults stop. */
  #until(afterMs: number, undo: () => void): void {
    const mend = (): void => {
      if (this.#mends.delete(mend)) undo()
    }
    this.#mends.add(mend)
    this.#options.world.scheduler.after(afterMs, undefined, mend)
  }

  /** Which incarnation of each token is the newest. */
  #lives(): string {
    const { ghost, tokens } = this.#options
    return tokens.map((token) => `${token} ${ghost.newestIncarnation(token)} ${ghost.lifeOf(token)}`).join()
  }

  /** Whether the documents speak of a token that is deleted, or to be. */
  #removals(): boolean {
    const documents = this.#options.servers.coordinator.documents('specs/')
    return [...documents.values()].some(({ bytes, name }) =>
      specDocument.decode(bytes, name).tokens.some((spec) => spec.removed),
    )
  }

  /** From where document versions go on after a loss. */
  #versions(): number | undefined {
    const { faults, chance } = this.#options.world
    return faults.happens('versionsReused') ? undefined : 1_000_000 + chance.below(1_000_000_000)
  }

  #rollBack(): boolean {
    const { servers, world } = this.#options
    if (this.#backup === undefined) return false
    world.trace.add('chaos', 'the coordinator goes back to an old backup')
    servers.coordinator.restore(this.#backup.of, world.chance.happens(0.5), this.#versions())
    return true
  }

  /** Short mostly, and sometimes well above the session's timeout. */
  #whileMs(): number {
    const { chance } = this.#options.world
    return chance.happens(0.5) ? chance.between(20, 800) : chance.between(800, 5000)
  }

  readonly #acts: Partial<Record<FaultKind, () => boolean | void>> = {
    crash: () => {
      const { cluster, world } = this.#options
      const node = world.chance.pick(cluster.all())
      if (node === undefined) return false
      cluster.kill(node.process.node)
      this.#until(this.#whileMs(), () => cluster.start(node.process.node))
    },
    restart: () => {
      const { cluster, world } = this.#options
      const node = world.chance.pick(cluster.ready())
      if (node === undefined || !cluster.stop(node.process.node)) return false
      const { process } = node
      const start = (): void => {
        if (cluster.get(process.node)?.process === process) return this.#until(500, start)
        cluster.start(process.node)
      }
      this.#until(this.#whileMs(), start)
    },
    pause: () => {
      const { cluster, world } = this.#options
      const node = world.chance.pick(cluster.all().filter(({ process }) => process.state === 'running'))
      if (node === undefined) return false
      world.trace.add(node.process.label, 'is paused')
      node.process.pause()
      this.#until(this.#whileMs(), () => {
        if (node.process.state !== 'paused') return
        world.trace.add(node.process.label, 'goes on')
        node.process.resume()
      })
    },
    cut: () => {
      const { cluster, world } = this.#options
      const node = world.chance.pick(cluster.all())
      if (node === undefined) return false
      const all: Service[] = ['log', 'coordinator', 'store']
      const services = world.chance.happens(0.4) ? all : [world.chance.pick(all)!]
      world.trace.add(node.process.label, `is cut off from ${services.join(', ')}`)
      const mends = services.map((service) => node.process.cut(service))
      this.#until(this.#whileMs(), () => {
        world.trace.add(node.process.label, `reaches ${services.join(', ')} again`)
        for (const mend of mends) mend()
      })
    },
    sessionExpired: () => {
      const { servers, world } = this.#options
      const session = world.chance.pick(servers.coordinator.sessions())
      if (session === undefined) return false
      world.trace.add(session.process.label, 'has its session expired')
      servers.coordinator.end(session)
    },
    wipe: () => {
      const { servers, world } = this.#options
      if (this.#removals() && !world.faults.happens('deletionsForgotten')) return false
      const sessionsToo = world.chance.happens(0.5)
      world.trace.add('chaos', `the coordinator loses its documents${sessionsToo ? ' and sessions' : ''}`)
      servers.coordinator.restore(undefined, sessionsToo, this.#versions())
    },
    rollback: () => this.#backup?.lives === this.#lives() && this.#rollBack(),
    rollbackFar: () => this.#rollBack(),
    storeDown: () => {
      const { servers, world } = this.#options
      world.trace.add('chaos', 'the snapshot store is down')
      servers.store.down = true
      this.#until(this.#whileMs(), () => (servers.store.down = false))
    },
    bitRot: () => {
      const { servers, world, tokens } = this.#options
      const token = world.chance.pick(tokens)!
      const snapshot = world.chance.pick(servers.store.list(token))
      if (snapshot === undefined || !servers.store.rot(snapshot, world.chance.below(2 ** 30))) return false
      world.trace.add('chaos', `snapshot ${snapshot.meta.id} of ${token} rots`)
    },
    poison: () => {
      const { cluster, world, tokens } = this.#options
      const node = world.chance.pick(cluster.all())
      // Each poisons a copy for good, and a token needs one that is left.
      if (node === undefined || this.#poisons > 0) return false
      this.#poisons += 1
      node.poisoned.add(world.chance.pick(tokens)!)
    },
  }
}
