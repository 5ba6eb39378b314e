/**
 * The application's view of Kagami: what `createKagami` takes and gives. Types only; the node implements them.
 */
import type {
  Codec,
  CommitLog,
  Coordinator,
  KagamiError,
  PlacementStrategy,
  Position,
  Seams,
  SnapshotStore,
  StateMachine,
} from '../contract/index.js'

/** This process, as the cluster sees it. */
export interface NodeOptions {
  /** Stable across restarts, unique in the cluster: letters, digits, `-`, `_` and `.`, at most 100. */
  readonly id: string
  /** Copies of one token are spread over zones. @default a zone of its own */
  readonly zone?: string
  /** How much of the load this node takes, relative to the others. @default 1 */
  readonly capacity?: number
  /** Anything the others should know, an address for instance; a plain JSON value, at most 4 KiB. Seen in `locate`. @default null */
  readonly meta?: JsonValue
}

/** What JSON keeps as it is: finite numbers only, nothing undefined, and no instances of classes. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | { readonly [key: string]: JsonValue }

/** What `createKagami` takes. Checked at once; the adapters are started by `start` and stopped by `stop`, so each node needs its own. */
export interface KagamiOptions<R = unknown, C = Uint8Array> {
  /** Nodes of one name form a cluster. Letters, digits, `-`, `_` and `.`, at most 100. */
  readonly cluster: string
  /** This process, as the others see it. */
  readonly node: NodeOptions
  /** Where the entries are written, and read back by every copy. */
  readonly log: CommitLog
  /** Who is alive, who is the controller, and what is wanted and assigned. */
  readonly coordinator: Coordinator
  /** Where snapshots are kept: all nodes of the cluster must see the same ones. */
  readonly snapshots: SnapshotStore
  /** Decides which node holds which copy. Asked on whichever node is the controller, so all should be given the same. */
  readonly placement: PlacementStrategy
  /** Makes an empty state machine: once for each copy that this node holds, and again when a copy starts over. */
  readonly stateMachine: (token: string) => StateMachine<R, C>
  /** Turns values into bytes and back. @default values are bytes */
  readonly codec?: Codec<C>
  /** Bounds on entries, on frames and on what waits, and pauses between retries. Each has a default of its own. */
  readonly limits?: LimitOptions
  /** When snapshots are taken, and how many are kept. Each has a default of its own. */
  readonly snapshotting?: SnapshotOptions
  /** How fast copies move when nodes come and go. Each has a default of its own. */
  readonly placementLimits?: PlacementLimitOptions
  /** Replaces the clock, chance, logger or metrics. @default the system's clock and chance, warnings to the console, no metrics */
  readonly seams?: Partial<Seams>
}

/** Every bound that `replicate` and the read loop keep. Durations are at most 2_147_483_647 ms, 24 days. */
export interface LimitOptions {
  /** The largest entry, in bytes; larger ones are refused with KAGAMI_ENTRY_TOO_LARGE. @default 1_000_000, or what the log takes */
  readonly maxEntryBytes?: number
  /** A frame is sealed at this size at the latest. @default 262_144 */
  readonly maxFrameBytes?: number
  /** A frame is sealed at this many entries at the latest; at most 4_294_967_295. @default 1024 */
  readonly maxFrameEntries?: number
  /** Entries of a token that are under way; above it `replicate` waits. @default 4096 */
  readonly maxInFlightEntries?: number
  /** Bytes of a token that are under way; above it `replicate` waits. @default 8_388_608 */
  readonly maxInFlightBytes?: number
  /** Calls of `replicate`, of `sync` and of `waitFor` that wait, per token and kind; above it they reject with KAGAMI_OVERLOADED. At least 1. @default 65_536 */
  readonly maxWaiting?: number
  /** Bytes of the entries that wait for a place in flight, per token; above it `replicate` rejects with KAGAMI_OVERLOADED. @default 64 MiB */
  readonly maxWaitingBytes?: number
  /** An append that has had no answer for this long counts as failed and is repeated, in milliseconds. At least 100. @default 30_000 */
  readonly appendTimeoutMs?: number
  /** How long a frame waits for company while others are in flight, in milliseconds. @default 0 */
  readonly lingerMs?: number
  /** The first and the longest pause before an append is tried again, in milliseconds. @default 20 and 2000 */
  readonly retryMs?: { readonly first: number; readonly longest: number }
  /** How often a waiting reader looks at the log's end, in milliseconds. @default 500 */
  readonly lookMs?: number
  /** How long a restore waits for the log or the store before it fails the copy, in milliseconds. @default 60_000 */
  readonly restoreTimeoutMs?: number
  /**
   * How long taking a snapshot, or restoring one, may stand still until it is given up and tried again, in milliseconds: no chunk was given or taken, and no
   * call answered. So long a call that opens the log, or one of the coordinator's, may take, too, and a reader of the log that hears nothing again and again. Where snapshots are listed for a restore, two seconds are enough at first, and twice as long each further time. At least 100. @default 60_000
   */
  readonly stallTimeoutMs?: number
}

/** When a token is snapshotted: at whichever comes first, but never without a new entry. */
export interface SnapshotOptions {
  /** Entries since the last one. @default 100_000 */
  readonly everyEntries?: number
  /** Bytes of the entries since the last one. @default 64 MiB */
  readonly everyBytes?: number
  /** Milliseconds since the last one. @default 30_000, with a jitter of a fifth */
  readonly everyMs?: number
  /** Verified snapshots that are kept. At least 2. @default 2 */
  readonly keep?: number
  /** Snapshots that this node persists at once, besides at most eight that stand still for longer than two seconds. @default 2 */
  readonly atOnce?: number
}

/** How fast the controller moves copies. Read by whichever node is the controller. */
export interface PlacementLimitOptions {
  /** How long the replicas of a lost node wait for its return before they are rebuilt elsewhere, in milliseconds. Primaries move at once. @default 10_000 */
  readonly graceMs?: number
  /** Copies that one node restores at once because of a move. @default 4 */
  readonly restoresPerNode?: number
}

/** What the copy that this node holds of a token is now. */
export type Role =
  /** The one copy that may append, and serves. */
  | 'primary'
  /** Assigned as the primary, and waiting to read its barrier back. */
  | 'promoting'
  /** A primary whose lease is suspended: it serves no writes. */
  | 'suspended'
  | 'replica'
  /** This node holds no copy. */
  | 'none'
  /** The copy has failed and serves nothing. */
  | 'failed'

/** How far a copy is behind. */
export interface Lag {
  /** Entries known to be in the log and not yet applied here: exact when `caughtUp`, else a lower bound. Infinity before the first look, and once the copy is cut off: nobody here knows. */
  readonly entries: number
  /** Whether the copy had applied everything at its last look at the log's end, and that was a short while ago. */
  readonly caughtUp: boolean
  /**
   * Age of the newest applied entry by the primary's clock while behind, else 0; of the last look, where that is older, once the copy is cut off from
   * its log. Milliseconds.
   */
  readonly timeMs: number
  /** How long ago this copy last looked at the log's end. A copy that is cut off shows it here. Milliseconds; Infinity before the first look. */
  readonly lookAgeMs: number
}

/** Passed to `onPromote`; the pair grows with every change of primary, and fences what the primary does outside. */
export interface Fence {
  /** Grows when the token is deleted and created again. Compared first. */
  readonly incarnation: number
  /** Grows with every change of primary within the incarnation. */
  readonly epoch: number
}

/**
 * How a token is wanted. The call that creates it decides; a later one that wants something else is refused with KAGAMI_TOKEN_OPTIONS, and `alter`
 * changes it.
 */
export interface TokenOptions {
  /** Copies besides the primary. @default 1 */
  readonly replicas?: number
  /** 'balanced': the controller places the primary. 'self': this node is the primary, as its owner. @default 'balanced' */
  readonly primary?: 'balanced' | 'self'
  /** With 'self': 'promote' promotes a replica when the owner is lost, 'hold' waits for the owner. @default 'promote' */
  readonly failover?: 'promote' | 'hold'
  /** With 'self': a returning owner gets the token back, by handover. @default false */
  readonly failback?: boolean
  /** How much load a copy is, relative to other tokens'. @default 1 */
  readonly weight?: number
  /** Take over the log and the snapshots of a token that the coordinator does not know any more. @default false */
  readonly adopt?: boolean
  /**
   * Called when this node starts to serve the token as primary, or with `token` where it serves it already; `signal` aborts when it stops
   * to. Hooks of a call of `token` that rejects are not kept; those of a later call replace those of an earlier one.
   */
  readonly onPromote?: (context: { readonly signal: AbortSignal; readonly fence: Fence }) => void | Promise<void>
  /** Called when this node stops to serve the token as primary. */
  readonly onDemote?: () => void | Promise<void>
}

/** What `alter` may change. */
export type AlterOptions = Pick<TokenOptions, 'replicas' | 'weight' | 'failover' | 'failback'>

/** What `replicate` resolves with, once the entry is applied here. */
export interface Replicated<R> {
  /** The entry's place in the token's history: `waitFor` takes it, on any node. */
  readonly position: Position
  /** What `apply` returned on this node. */
  readonly result: R
}

/** A token, seen from this node. */
export interface Token<R = unknown, C = Uint8Array> {
  /** The name that `token` or `get` was called with. */
  readonly name: string
  /** What this node's copy is at the moment; 'none' while it holds none. */
  readonly role: Role
  /** The epoch in force here; 0 before the first barrier. */
  readonly epoch: number
  /** The position of the next entry to apply; undefined while there is no copy or it is being restored. */
  readonly next: Position | undefined
  /** How far this node's copy is behind. While it holds none: as one that has never looked, with a `lookAgeMs` of Infinity. */
  readonly lag: Lag
  /**
   * The state machine itself, for local reads: as new as `lag` says.
   * @throws KAGAMI_NO_COPY, KAGAMI_TOKEN_FAILED
   */
  readonly state: StateMachine<R, C>
  /**
   * Replicates a value and resolves when this node has applied it. Without a codec the bytes must not change until the call settles.
   * @throws the signal's reason when it aborts before the entry is sealed in a frame: definite, never applied
   * @throws KAGAMI_NOT_PRIMARY, KAGAMI_ENTRY_TOO_LARGE, KAGAMI_ENCODING_FAILED, KAGAMI_OVERLOADED, KAGAMI_STOPPED, KAGAMI_TOKEN_FAILED,
   * KAGAMI_TOKEN_UNKNOWN: definite, never applied
   * @throws KAGAMI_STORE_FULL while the log has no room, KAGAMI_LOG_UNAVAILABLE when it has not answered, or not been heard from, for `limits.appendTimeoutMs`: definite,
   * never applied. Entries that were sealed before go on being appended, and wait.
   * @throws KAGAMI_INDETERMINATE: applied or not, now or later
   * @throws KAGAMI_APPLY_FAILED: committed, but `apply` threw
   */
  replicate(value: C, options?: { readonly signal?: AbortSignal }): Promise<Replicated<R>>
  /** Resolves when this copy has applied the entry at `position`. Rejects with KAGAMI_NO_COPY, KAGAMI_TOKEN_FAILED, KAGAMI_STOPPED, KAGAMI_OVERLOADED or the signal's reason. */
  waitFor(position: Position, options?: { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Resolves when this copy has applied everything that was acknowledged anywhere before the call. Rejects like `waitFor`, and with
   * KAGAMI_STORE_FULL or KAGAMI_LOG_UNAVAILABLE where the log takes no marker, or this copy does not hear from it.
   */
  sync(options?: { readonly signal?: AbortSignal }): Promise<void>
}

/** A node, as others name it. */
export interface NodeRef {
  /** The `node.id` of its options. */
  readonly id: string
  /** The `node.meta` of its options; null where it gave none, and while it is no live member. */
  readonly meta: JsonValue
}

/** Where a token is, as this node last heard. */
export interface Location {
  /** The node that is assigned as the primary, whether it serves yet or not; undefined while there is none. */
  readonly primary: NodeRef | undefined
  /** The nodes of the other copies, ordered by id, without the primary. */
  readonly replicas: readonly NodeRef[]
  /** Grows when the token is deleted and created again. */
  readonly incarnation: number
  /** Grows with every change of primary within the incarnation; 0 before the first. */
  readonly epoch: number
}

/** How a copy on this node is, at the moment of the call. */
export interface CopyHealth {
  /** The name of the token that it is a copy of. */
  readonly token: string
  /** What it is now; as `Token.role` says. */
  readonly role: Role
  /**
   * 'opening': its log is being opened. 'restoring': it takes up a snapshot, or finds the beginning of its log. 'running': it applies what it reads.
   * 'failed': for good. 'closing': it moves away, or the node stops.
   */
  readonly phase: 'opening' | 'restoring' | 'running' | 'failed' | 'closing'
  /** The one in force where it has read to; 0 before the first barrier. */
  readonly epoch: number
  /** The position of the next entry to apply; undefined while it is opened or restored. */
  readonly next: Position | undefined
  /** How far it is behind its log. */
  readonly lag: Lag
  /** Why it has failed, or why it does not follow its assignment. */
  readonly error: KagamiError | undefined
  /**
   * Why it does not come on, once that has lasted for two seconds, or three looks: KAGAMI_LOG_UNAVAILABLE where it hears nothing from its log, or that can't be opened; or ten
   * seconds, where its restore stands still: KAGAMI_TIMEOUT. It is tried again until it does.
   */
  readonly readError: KagamiError | undefined
  /** The newest verified snapshot that this node knows of. */
  readonly snapshot: { readonly id: string; readonly nextIndex: number; readonly takenAtMs: number } | undefined
  /** Why snapshots fail now, if they do. The log then isn't truncated. */
  readonly snapshotError: KagamiError | undefined
  /** Why the log takes no appends of this copy now, if it does not. What is under way is tried again until it does. */
  readonly appendError: KagamiError | undefined
  /** Frames that were read and ignored, by reason: zombies, duplicates, reordered ones. */
  readonly ignored: Readonly<Record<string, number>>
}

/** How a node is, at the moment of the call. */
export interface Health {
  /** Whether `problems` is empty. */
  readonly ok: boolean
  /**
   * 'stopped': before `start`, and after `stop`. 'running': it has a session with the coordinator and holds its lease. 'suspended': the coordinator is
   * out of reach, so it serves no writes. 'rejoining': its session is over, and it opens another. 'starting' and 'stopping': under way.
   */
  readonly status: 'stopped' | 'starting' | 'running' | 'suspended' | 'rejoining' | 'stopping'
  /** The `node.id` of its options. */
  readonly node: string
  /** This run of the node, as others see it: another one for each session; undefined while it has none. */
  readonly member: string | undefined
  /** Whether this node is the controller now. */
  readonly controller: boolean
  /** What is wrong now, as sentences for people. Empty when `ok`. */
  readonly problems: readonly string[]
  /** One for each copy that this node holds, failed ones among them. */
  readonly copies: readonly CopyHealth[]
}

/** Every event, with what it carries. Listeners are called synchronously and not waited for; what they throw, or reject with, is logged. */
export interface KagamiEvents {
  /** This node has become a member: in its start, and again, as another member, after each `expired`. */
  readonly joined: { readonly member: string }
  /**
   * The coordinator was out of reach for so long that the lease has run out: this node serves no writes until `resumed`, or `joined` after `expired`.
   */
  readonly suspended: { readonly member: string }
  /** The coordinator is in reach again, and the session has outlived it: writes are served again. */
  readonly resumed: { readonly member: string }
  /** The session is over, or can't be relied on any more. The node joins again, as a new member. */
  readonly expired: { readonly member: string }
  /**
   * This node was elected as the controller, or is not any more. `epoch`: the election's; a later one's is greater, unless the coordinator loses its
   * data.
   */
  readonly controller: { readonly elected: boolean; readonly epoch: number }
  /** A copy is opened on this node, or dropped. */
  readonly copy: { readonly token: string; readonly opened: boolean }
  /** The copy here is assigned as the primary, and begins to write its barrier. It serves at `promoted`, once it has read that back. */
  readonly promoting: { readonly token: string; readonly incarnation: number; readonly epoch: number }
  /** The copy here serves as the primary from now on. Just before `onPromote`. */
  readonly promoted: { readonly token: string; readonly incarnation: number; readonly epoch: number }
  /** The copy here, which had been `promoted`, serves no more. Just before `onDemote`. `reason`: why, for people. */
  readonly demoted: {
    readonly token: string
    readonly incarnation: number
    readonly epoch: number
    readonly reason: string
  }
  /**
   * A restore has read another chunk of a snapshot: `bytes` of the `totalBytes` of its blob so far. A restore that needs no snapshot tells nothing of
   * itself before `restored`.
   */
  readonly restoring: {
    readonly token: string
    readonly snapshot: string | undefined
    readonly bytes: number
    readonly totalBytes: number | undefined
  }
  /**
   * A copy here is restored, and goes on at `next`. `snapshot`: its id; undefined where the log held everything. `tookMs`: milliseconds, with what it
   * has waited for. Again when truncation has overtaken the copy.
   */
  readonly restored: {
    readonly token: string
    readonly snapshot: string | undefined
    readonly next: Position
    readonly tookMs: number
  }
  /** A replica has caught up with the log's end. */
  readonly 'in-sync': { readonly token: string; readonly next: Position }
  /**
   * A snapshot of the copy here has come one step further: captured from the state machine, published in the store, read back and verified, the log
   * truncated below what is kept. Or it has failed, with `error`, and is tried again. `bytes`: the blob's, 0 where it is not published.
   */
  readonly snapshot: {
    readonly token: string
    readonly phase: 'captured' | 'published' | 'verified' | 'truncated' | 'failed'
    readonly id: string
    readonly bytes: number
    readonly error: KagamiError | undefined
  }
  /** The copy here has failed and serves nothing. `position`: the entry that could not be applied; undefined where the reason is another. */
  readonly failed: { readonly token: string; readonly error: KagamiError; readonly position: Position | undefined }
  /** This controller finds no spec of a token that is there (KAGAMI_SPEC_LOST). Once, until one is found again. */
  readonly 'spec-lost': { readonly token: string; readonly error: KagamiError }
  /** The token of which this node holds a copy has ended: the copy has read it, or has heard of it and is closed. Once for each end. */
  readonly deleted: { readonly token: string; readonly incarnation: number }
  /** The assignment of a token, as this node heard of it. */
  readonly assigned: {
    readonly token: string
    readonly incarnation: number
    readonly epoch: number
    readonly primary: string | undefined
    readonly replicas: readonly string[]
  }
}

/**
 * A node. Each method refuses a wrong option, and one that does not exist, with KAGAMI_BAD_OPTION before it does anything else.
 */
export interface Kagami<R = unknown, C = Uint8Array> extends AsyncDisposable {
  /**
   * Connects, joins the cluster, and opens the copies that are assigned to this node. Rejects, with everything undone, when it can't, and
   * when `stop` comes before it has. A node starts once: after that, make another.
   * @throws KAGAMI_STOPPED, KAGAMI_NODE_ID_TAKEN, KAGAMI_BAD_OPTION, what an adapter rejects with, the signal's reason
   */
  start(options?: { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Creates the token, or gives access to it where it exists with the same options. Resolves when it has a primary, which may be elsewhere, and this
   * node may hold no copy. With `primary: 'self'`, resolves when this node serves it, unless it stays elsewhere: it has failed over and is without `failback`, was
   * handed over meanwhile, the log takes nothing of this node, or this node is being drained. That takes a controller that can do its work; a call that waits for long is told in the log.
   * @throws KAGAMI_STORE_FULL (retryable) where the coordinator has no room. So do the other methods that change something.
   * @throws KAGAMI_BAD_OPTION, KAGAMI_TOKEN_OPTIONS, KAGAMI_TOKEN_OWNED, KAGAMI_TOKEN_EXISTS, KAGAMI_NOT_STARTED, KAGAMI_STOPPED
   * @throws KAGAMI_TOKEN_UNKNOWN when it is removed meanwhile, KAGAMI_TOKEN_FAILED where this node is to serve it, and its copy has failed
   */
  token(name: string, options?: TokenOptions & { readonly signal?: AbortSignal }): Promise<Token<R, C>>
  /**
   * A handle on a token that exists, without creating anything; undefined where this node has not heard of it, and when it is
   * removed. A handle that was given before then rejects with KAGAMI_TOKEN_UNKNOWN or KAGAMI_NO_COPY, and works again when the token is created again.
   */
  get(name: string): Token<R, C> | undefined
  /** The names of all tokens that this node has heard of, sorted. */
  tokens(): readonly string[]
  /** Where the token is; undefined when this node has not heard of it. */
  locate(name: string): Location | undefined
  /** The live members, as this node last heard. */
  members(): readonly (NodeRef & {
    readonly zone: string | undefined
    readonly capacity: number
    readonly draining: boolean
  })[]
  /** Resolves when the change is recorded; the controller then carries it out. @throws KAGAMI_TOKEN_UNKNOWN */
  alter(name: string, options: AlterOptions & { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Moves the primary to a node and resolves when it serves there.
   * @throws KAGAMI_TOKEN_UNKNOWN, KAGAMI_BAD_OPTION, KAGAMI_TOKEN_OWNED, KAGAMI_NO_COPY, KAGAMI_SUPERSEDED
   */
  handover(name: string, options: { readonly to: string; readonly signal?: AbortSignal }): Promise<void>
  /**
   * Empties this node: resolves when it holds no primary, and no copy, that can be elsewhere, which is at once where no other node stays. It stays a member,
   * and empty until it is stopped, also where this rejects.
   * @throws KAGAMI_TOKEN_OWNED when the rest is moved, where a token is kept for this node, its owner (`failover: 'hold'`)
   */
  drain(options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Deletes the token, its log and its snapshots. Resolves when the deletion is in the log. @throws KAGAMI_TOKEN_UNKNOWN */
  remove(name: string, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** How this node and its copies are now, from what it knows: asks nobody. May be called at any time, also before `start` and after `stop`. */
  health(): Health
  /** Listens to an event; returns what ends it. */
  on<K extends keyof KagamiEvents>(event: K, listener: (payload: KagamiEvents[K]) => void): () => void
  /**
   * Hands the primaries over, leaves the cluster and closes everything. From now on writes, and whatever else would change something, are
   * refused with KAGAMI_STOPPED; what is under way goes on, and copies can be read until they are closed. Settles within `deadlineMs`
   * whatever hangs, and keeps the process alive until then: what it has not waited for is logged, and named in `health().problems`.
   * Ends a start that is under way. Idempotent: whoever calls it again waits for the same stop. @default deadlineMs 10_000
   */
  stop(options?: { readonly deadlineMs?: number }): Promise<void>
}
