/** What the controller knows of the nodes while it decides: who is alive, and what each says of its copies. */
import type { CopyReport } from './documents.js'

/** A node as the controller sees it: alive, or lost and within its grace period. */
export interface NodeView {
  readonly node: string
  /** Undefined while lost. */
  readonly member: string | undefined
  readonly zone: string | null
  readonly capacity: number
  readonly draining: 'no' | 'leaving' | 'drain'
}

export interface ClusterView {
  readonly nodes: ReadonlyMap<string, NodeView>
  /** What the node's live member reports of its copy. */
  report(node: string, token: string): CopyReport | undefined
  /** The most entries that any node has told of, also one that is gone; 0: none. */
  reached(token: string, incarnation: number): number
  /** Whether the node's copy is not in sync, and has not come on for so long that nothing waits for it (engine/restore-places.ts). */
  stalled(node: string, token: string): boolean
}

/** Whether no node is within its grace period: only then are copies moved for evenness. */
export function calm(view: ClusterView): boolean {
  for (const node of view.nodes.values()) if (node.member === undefined) return false
  return true
}
