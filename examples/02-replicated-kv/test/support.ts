/** Clusters of the service within one process, over in-memory adapters, and small ways to talk to them. */
import { memoryCluster, type MemoryCluster } from '@kagami/testkit'
import { evenPlacement } from '@kagami/placement-even'
import { startKvNode, type KvNode, type KvNodeOptions } from '../src/service/kv-node.js'

export class TestCluster implements AsyncDisposable {
  readonly world: MemoryCluster = memoryCluster()
  readonly nodes = new Map<string, KvNode>()

  static async of(ids: readonly string[], options: Partial<KvNodeOptions> = {}): Promise<TestCluster> {
    const cluster = new TestCluster()
    try {
      await Promise.all(ids.map((id) => cluster.start(id, options)))
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
    return cluster
  }

  async start(id: string, options: Partial<KvNodeOptions> = {}): Promise<KvNode> {
    const quiet = (): undefined => undefined
    const node = await startKvNode({
      id,
      tokens: 4,
      ledger: true,
      log: this.world.commitLog(),
      coordinator: this.world.coordinator({ sessionTimeoutMs: 500 }),
      snapshots: this.world.snapshotStore(),
      placement: evenPlacement(),
      limits: { lookMs: 50 },
      placementLimits: { graceMs: 200 },
      seams: { logger: { debug: quiet, info: quiet, warn: quiet, error: quiet } },
      ...options,
    })
    this.nodes.set(id, node)
    return node
  }

  node(id: string): KvNode {
    const node = this.nodes.get(id)
    if (node === undefined) throw new Error(`no node ${id}`)
    return node
  }

  /** The node that serves a token as its primary, and one that holds no copy of it, if there is one. */
  async placesOf(
    token: string,
  ): Promise<{ readonly primary: KvNode; readonly replica: KvNode; readonly other: KvNode }> {
    return eventually(() => {
      const all = [...this.nodes.values()]
      const role = (node: KvNode): string => node.kagami.get(token)?.role ?? 'none'
      const primary = all.find((node) => role(node) === 'primary')
      const replica = all.find((node) => role(node) === 'replica')
      const other = all.find((node) => role(node) === 'none')
      return primary === undefined || replica === undefined || other === undefined
        ? undefined
        : { primary, replica, other }
    }, `places of ${token}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.stop()))
  }
}

export interface WriteBody {
  readonly token: string
  readonly position: string
  readonly version: string | null
  readonly existed: boolean
  readonly repeated: boolean
  readonly error?: string
  readonly applied?: string
}

export async function put(
  node: { readonly url: string },
  key: string,
  value: string,
  headers: Record<string, string> = {},
): Promise<{ readonly status: number; readonly body: WriteBody }> {
  const response = await fetch(`${node.url}/kv/${encodeURIComponent(key)}`, { method: 'PUT', body: value, headers })
  return { status: response.status, body: (await response.json()) as WriteBody }
}

export async function get(node: { readonly url: string }, key: string, read = 'local'): Promise<Response> {
  return fetch(`${node.url}/kv/${encodeURIComponent(key)}?read=${read}`)
}

/** Polls a condition until it holds; fails with what it waited for. */
export async function eventually<T>(
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  what: string,
  timeoutMs = 10_000,
): Promise<T> {
  const until = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() > until) throw new Error(`not within ${timeoutMs} ms: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
