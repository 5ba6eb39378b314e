/**
 * The administrator's view of a cluster: what `openCluster` takes and gives. Types only. Every status is a plain JSON value, made for programs
 * and tables alike.
 */
import type { Coordinator, KagamiErrorCode, Position, Seams, SnapshotStore } from '../contract/index.js'
import type { JsonValue, Kagami, TokenOptions } from './api.js'

/** What `openCluster` takes. Checked before anything is started. */
export interface ClusterOptions {
  /** The cluster's name, as its nodes have it. */
  readonly cluster: string
  /** An adapter of its own, which nobody else uses. It is started here, and stopped by `stop`. */
  readonly coordinator: Coordinator
  /** The store that the nodes use, in an adapter of its own. @default none: statuses then tell of no snapshots, and `snapshots` is refused */
  readonly snapshots?: SnapshotStore
  /** Replaces the clock, chance, logger or metrics. @default the system's clock and chance, warnings to the console, no metrics */
  readonly seams?: Partial<Seams>
  /** Gives up the opening. */
  readonly signal?: AbortSignal
}

/** What `status` and `watch` take. */
export interface StatusOptions {
  /** Tells of this token alone. @default all tokens */
  readonly token?: string
  /** Gives up: the call, or the next step of the watch, rejects with its reason. */
  readonly signal?: AbortSignal
}

/** How a cluster is, by what was last heard of its members, its documents and the reports of its copies. */
export interface ClusterStatus {
  /** The name that it was opened by. */
  readonly cluster: string
  /** Whether each token that is told of is `ok`. */
  readonly ok: boolean
  /** The node that is the controller; null while none is known, as in a cluster that has never had a token. */
  readonly controller: string | null
  /** The live members, ordered by node id. */
  readonly members: readonly MemberStatus[]
  /** By name. Those that are removed are left out. */
  readonly tokens: readonly TokenStatus[]
  /** Why the snapshot store could not be asked; every `snapshot` is then null. */
  readonly snapshotsError: { readonly code: KagamiErrorCode; readonly message: string } | null
}

/** A live member: one run of a node. */
export interface MemberStatus {
  /** The `node.id` of its options. */
  readonly node: string
  /** This run of the node. */
  readonly member: string
  /** Null: in a zone of its own. */
  readonly zone: string | null
  /** How much of the load it takes, relative to the others. */
  readonly capacity: number
  /** 'leaving': it hands its primaries over, to stop. 'drain': it is being emptied. */
  readonly draining: 'no' | 'leaving' | 'drain'
  /** Whether it is the node that `ClusterStatus.controller` names. */
  readonly controller: boolean
  /** The `node.meta` of its options; null where it gave none. */
  readonly meta: JsonValue
  /** Tokens that are assigned to it as the primary. */
  readonly primaries: number
  /** Copies that are assigned to it, primaries among them. */
  readonly copies: number
}

/** What is wanted of a token, and how it is. */
export interface TokenStatus {
  /** The name by which nodes ask for it. */
  readonly token: string
  /** 'creating': its log is not opened yet. 'removing': its deletion is not in the log yet. */
  readonly phase: 'creating' | 'open' | 'removing'
  /** It is open, a live node serves it as its primary, and as many replicas as are wanted are in sync. */
  readonly ok: boolean
  /** Why it is not `ok`, as sentences for people that say 'it' for the token. */
  readonly problems: readonly string[]
  /** 0 while it is being created. */
  readonly incarnation: number
  /** Grows with every change of primary within the incarnation; 0 before the first. */
  readonly epoch: number
  /** What people want of it; null where the coordinator has lost that. */
  readonly wanted:
    | (Required<Pick<TokenOptions, 'replicas' | 'primary' | 'weight' | 'failover' | 'failback'>> & {
        /** With `primary: 'self'`: the node that owns it. */
        readonly owner: string | null
      })
    | null
  /** The node that somebody has asked to hand the primary to, as long as that is under way. */
  readonly handover: string | null
  /** The primary first, then the replicas and what has failed and was replaced, ordered by node id. */
  readonly copies: readonly CopyStatus[]
  /** The newest in the store. */
  readonly snapshot: SnapshotStatus | null
}

/** A copy, as its node has last reported it: changes of state at once, mere progress every few seconds. */
export interface CopyStatus {
  /** The id of the node that holds it, or is to. */
  readonly node: string
  /** 'replaced': it has failed, and is not assigned any more. */
  readonly role: 'primary' | 'replica' | 'replaced'
  /** What it does, by its last report, and by whether its node is a live member. */
  readonly state: CopyState
  /** The position of the next entry to apply; null while its node has reported none of this incarnation. */
  readonly next: Position | null
  /** Entries that the primary has applied and this copy has not, by the last reports of both; null where one of them is missing. 0 in sync. */
  readonly lag: number | null
  /** Whether it takes the snapshots, and whether the last one has failed. */
  readonly snapshotter: boolean
  /** Of the one that takes them: the log is not truncated until one succeeds again. */
  readonly snapshotFails: boolean
  /** Why it has failed, or what hinders it. */
  readonly error: string | null
}

/** What a copy does, as seen from outside. */
export type CopyState =
  /** A primary that takes writes. */
  | 'serving'
  /** It follows the log's end. Of a primary: it does not serve yet, or not now. */
  | 'in-sync'
  | 'behind'
  | 'restoring'
  /** It has not seen the log's end for too long. */
  | 'cut-off'
  | 'failed'
  /** Its node lives, and has not reported it yet. */
  | 'opening'
  /** Its node is no live member; of a primary: the run of the node that was promoted. */
  | 'lost'

/** A published snapshot, as the store lists it. */
export interface SnapshotStatus {
  /** The name by which the store knows it, unique for ever. */
  readonly id: string
  /** The position of the first entry that it does not hold. */
  readonly next: Position
  /** The one in force when it was captured. */
  readonly epoch: number
  /** The size of its blob. */
  readonly bytes: number
  /** Wall clock at capture, milliseconds since 1970. */
  readonly takenAtMs: number
  /** The member that took it. */
  readonly member: string
  /** Whether it is recorded as read back and found whole. */
  readonly verified: boolean
}

/**
 * The administrator's door to a running cluster. It holds a session with the coordinator that never joins: no node sees a member, and it holds
 * no copy and never campaigns. `alter`, `handover` and `remove` do what they do on a node; a call that is given up leaves what it has asked for,
 * which the controller may still carry out.
 *
 * When its session is over, as after this process was frozen for the session's timeout, it opens another: what is under way then rejects with
 * KAGAMI_SESSION_LOST (retryable), calls that come meanwhile wait, and `watch` goes on. After `stop` they reject with KAGAMI_STOPPED.
 */
export interface Cluster extends Pick<Kagami, 'alter' | 'handover' | 'remove'>, AsyncDisposable {
  /** The cluster as was last heard. @throws KAGAMI_TOKEN_UNKNOWN where `token` names none */
  status(options?: StatusOptions): Promise<ClusterStatus>
  /**
   * The present status, then another after each change, with changes that lie close together, or come while nobody asks, merged. A token that is
   * removed meanwhile ends it like `status`.
   */
  watch(options?: StatusOptions): AsyncIterable<ClusterStatus>
  /**
   * The token's snapshots, newest first.
   * @throws KAGAMI_TOKEN_UNKNOWN where there is neither such a token nor a snapshot of it
   * @throws KAGAMI_BAD_OPTION where no snapshot store was given, KAGAMI_STORE_UNAVAILABLE, KAGAMI_TIMEOUT
   */
  snapshots(token: string, options?: { readonly signal?: AbortSignal }): Promise<readonly SnapshotStatus[]>
  /** Ends the session and stops the adapters, within `deadlineMs` whatever hangs. Leaves nothing behind. Idempotent. @default deadlineMs 10_000 */
  stop(options?: { readonly deadlineMs?: number }): Promise<void>
}
