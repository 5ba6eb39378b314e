/** Placement: which node holds the primary and the replicas of each token. A pure function of its input. */

/** A live member, as a strategy is told of it. */
export interface PlacementMember {
  /** The id by which targets name it. */
  readonly node: string
  /** Members without a zone are each in a zone of their own. */
  readonly zone?: string
  /** How much of the load this node takes, relative to the others. Greater than 0. */
  readonly capacity: number
  /** Wants to be emptied: holds copies only while nothing else can. */
  readonly draining: boolean
}

/** Where a token's copies are, by node id. */
export interface Placement {
  /** Null where there is none: in a target only where no member may hold the token. */
  readonly primary: string | null
  /** Without the primary; no order. */
  readonly replicas: readonly string[]
}

/** A token that is to be placed: what is wanted of it, and where it is. */
export interface PlacementToken {
  /** The name by which the target is looked up. */
  readonly token: string
  /** Copies besides the primary. */
  readonly replicas: number
  /** How much load one copy is, relative to the others. Greater than 0. */
  readonly weight: number
  /** The primary must be there while that node is a member, unless it is excluded, or drains while another can hold the token. */
  readonly pinned?: string
  /**
   * The primary should be there while that node is a member, may hold the token and is not draining. Goes before the evenness of
   * primaries, after `pinned`.
   */
  readonly preferred?: string
  /** The present placement. May name nodes that are no longer members. */
  readonly current: Placement
  /** Nodes that must not hold this token's copies: they failed at it. */
  readonly excluded?: readonly string[]
}

/** All that a strategy may decide by. Not to be changed by it. */
export interface PlacementInput {
  /** The nodes that may hold copies, ordered by id; at most one per node id. */
  readonly members: readonly PlacementMember[]
  /** Ordered by name. */
  readonly tokens: readonly PlacementToken[]
}

/** The target by token, for every token of the input. A token that stays as it is keeps the `current` object itself. */
export type PlacementTarget = ReadonlyMap<string, Placement>

/**
 * Decides where copies belong. Pure and deterministic: the same input gives the same target, on every node. It must
 * give every token min(1 + replicas, members that may hold it) copies, never two on one node, and be stable: its own
 * target, given as `current`, is returned unchanged. No two copies of a token should be in one zone while another has room, and a
 * lost primary should go to a surviving copy where evenness permits.
 */
export interface PlacementStrategy {
  /** For messages: `even`. */
  readonly name: string
  /**
   * Called by the controller whenever it looks at the cluster, which is after every change. Its node stands still until it returns. Where it throws,
   * assignments stay as they are, and `health().problems` says so.
   */
  place(input: PlacementInput): PlacementTarget
}
