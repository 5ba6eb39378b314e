/**
 * The coordinator's documents, format 1: what they hold, and their bytes. Tokens are spread over a fixed number of buckets, so
 * that documents stay small and few. ARCHITECTURE.md, "Documents", says who writes which.
 */
import { crc32 } from 'node:zlib'
import { KagamiError, type Position } from '../contract/index.js'

const FORMAT = 1

/** Never change it: it is part of the format. 10,000 tokens make documents of 10 to 20 KiB. */
export const BUCKETS = 256

/** The bucket of a token, as it stands in document names. */
export function bucketOf(token: string): string {
  return (crc32(token) % BUCKETS).toString(16).padStart(2, '0')
}

/**
 * The creation that an incarnation belongs to. Incarnation 2g − 1 is the life of a token's creation g, and 2g its end: so a removal ends no later
 * creation, whatever documents were lost in between.
 */
export function generationOf(incarnation: number): number {
  return Math.ceil(incarnation / 2)
}

/** Seconds from 1970 to the beginning of 2026. */
const FIRST_GENERATION_AT = 1_767_225_600

/**
 * The least that a creation at this time is given. What was forgotten altogether, by a coordinator that lost its documents after a removal, can't be counted on
 * from; so that it is not taken for the same creation if it comes back, out of an old backup, the clock says which was later. It decides nothing else.
 */
export function generationAt(nowMs: number): number {
  return Math.max(1, Math.floor(nowMs / 1000) - FIRST_GENERATION_AT)
}

/** Whether an incarnation is the end of a creation, and not its life. */
export function isEnd(incarnation: number): boolean {
  return incarnation > 0 && incarnation % 2 === 0
}

/** Whether a spec says later than another what people want: of a later creation, or of its removal, which is for good. */
export function isLater(spec: Spec, than: Spec | undefined): boolean {
  if (than === undefined || spec.generation !== than.generation) return spec.generation > (than?.generation ?? 0)
  return spec.removed && !than.removed
}

/** How many entries of its incarnation the log of an assignment is known to have held. */
export function knownEntries({ incarnation, reached }: Assignment): number {
  return reached?.incarnation === incarnation ? reached.index : 0
}

/** Whether people have removed the creation that an incarnation belongs to. */
export function isRemoved(spec: Spec, incarnation: number): boolean {
  const generation = generationOf(incarnation)
  return generation <= spec.removedBefore || (spec.removed && generation <= spec.generation)
}

/** The lowest incarnation of this creation, or of a later one, that is above another. */
export function incarnationAbove(other: number, generation: number): number {
  return Math.max(2 * generation - 1, other + 1 + (other % 2))
}

/** The log of one incarnation. */
export interface LogRef {
  /** Where it is, in the words of the commit log's adapter. */
  readonly address: string
  /** Which log at that address: another one once it was deleted and created anew. */
  readonly identity: string
}

/** How people want a token to be, for as long as it lives. */
export interface Wishes {
  /** Copies besides the primary. */
  readonly replicas: number
  /** How much load a copy is, relative to other tokens'. Above 0. */
  readonly weight: number
  /** 'balanced': where the controller places it. 'self': on the owner. */
  readonly primary: 'balanced' | 'self'
  /** With 'self': the owner's node id. */
  readonly owner: string | null
  /** With 'self': whether a replica is promoted when the owner is lost, or the token waits. */
  readonly failover: 'promote' | 'hold'
  /** With 'self': whether an owner that comes back is given the token back. */
  readonly failback: boolean
}

/** A primary that someone asked for; which of the askings it was, its nonce tells. */
export interface WantedHandover {
  readonly to: string
  readonly nonce: string
}

/** What an assignment was made by. */
export interface Wanted extends Wishes {
  /** Absent where there was none, and where an earlier version wrote it. */
  readonly handover?: WantedHandover
}

/** What people want of a token. Written by any node, by compare-and-set. */
export interface Spec extends Wishes {
  /** The name: at most one spec of it is in its bucket. */
  readonly token: string
  /** Which creation of the token this is about, from 1 on; see {@link generationOf}. */
  readonly generation: number
  /** People have removed this creation, for good: a later one has another generation. */
  readonly removed: boolean
  /** The highest creation before this one that people have removed, as far as was known; 0: none. That this one is later says nothing of any other. */
  readonly removedBefore: number
  /** A primary that someone asked for; the controller follows it until it is there, or the node is gone. */
  readonly handover: WantedHandover | null
  /** The token is taken over from an existing log instead of being created. */
  readonly adopt: { readonly incarnation: number; readonly epoch: number; readonly log: LogRef } | null
}

/** Where a token is. Written by the controller only. */
export interface Assignment {
  /** The name: at most one assignment of it is in its bucket. */
  readonly token: string
  /** Which life of the token it is about: see {@link generationOf}. */
  readonly incarnation: number
  /**
   * opening: the open frame is not read back yet. deleting: the frame that ends the incarnation isn't. deleted: it is; log and
   * snapshots are still to be cleaned up. gone: they are.
   */
  readonly phase: 'opening' | 'open' | 'deleting' | 'deleted' | 'gone'
  /** Where the incarnation is written and read. */
  readonly log: LogRef
  /** Grows with every change of primary; 0 before the first. */
  readonly epoch: number
  /**
   * The next position where any copy had come furthest, as far as was told before this epoch was given out: who finds less before its barrier knows that the log
   * has lost some. Of another incarnation it says nothing. Absent where an earlier version wrote it.
   */
  readonly reached?: Position
  /** The run of a node that is to serve it; null while there is none. */
  readonly primary: { readonly node: string; readonly member: string } | null
  /** Node ids, sorted, without the primary's. */
  readonly replicas: readonly string[]
  /** The node that takes the snapshots. */
  readonly snapshotter: string | null
  /** The nonce of the spec's handover, once its node was lost: it is not followed any more. */
  readonly handoverGivenUp: string | null
  /** What it was made by, for whoever finds no spec. Absent until the first step after it was opened, and where an earlier version wrote it. */
  readonly wanted?: Wanted
}

/** How a copy is. Written by the member that holds it. */
export interface CopyReport {
  /** The name of the token that it is a copy of. */
  readonly token: string
  /** In force, as far as this copy has read; 0: it has read nothing. */
  readonly incarnation: number
  /** In force, as far as this copy has read. */
  readonly epoch: number
  /** Entries of the incarnation that it has applied. */
  readonly nextIndex: number
  /** The next index where the epoch in force began. Absent where this copy has not read its barrier, and where an earlier version wrote it. */
  readonly epochBegan?: number
  /** The next position where the node's copies of the token had come furthest, in earlier runs too: what is before it was in the log. Absent where an earlier version wrote it. */
  readonly reached?: Position
  /** 'restoring' stands for everything before and after 'running', too. */
  readonly phase: 'restoring' | 'running' | 'failed'
  /** It follows the log's end: it has had applied all of it within the last few looks. */
  readonly inSync: boolean
  /** It has not seen the log's end for too long: it can't serve, whatever the coordinator thinks of its member. */
  readonly cutOff: boolean
  /** Its last snapshot failed. */
  readonly snapshotFails: boolean
  /** The epoch that this copy serves as primary; 0 when it serves none. */
  readonly serving: number
  /** It is the primary, and its log has taken nothing of it for longer than twice `appendTimeoutMs`, though it may take something yet. Absent where an earlier version wrote it. */
  readonly appendsFail?: boolean
  /** The assignment is not above what this copy has seen: the highest pair, and the log that it stands in. */
  readonly seen: {
    readonly incarnation: number
    readonly epoch: number
    readonly log: LogRef
    readonly deleted: boolean
  } | null
  /** The code of what it has failed by, or of what hinders it; null: nothing does. */
  readonly error: string | null
}

/** The snapshots of a token that were read back and found whole. Written by the designated snapshotter. */
export interface VerifiedSnapshots {
  /** The name of the token whose state they hold. */
  readonly token: string
  /** The one that they hold: those of an earlier one are forgotten. */
  readonly incarnation: number
  /** By which the snapshot store knows them, the latest verified last. */
  readonly ids: readonly string[]
}

/** A member's data. */
export interface MemberData {
  /** Null: in a zone of its own. */
  readonly zone: string | null
  /** How much of the load it takes, relative to the others. Above 0. */
  readonly capacity: number
  /** What the application has others know of it: a plain JSON value. */
  readonly meta: unknown
  /** 'leaving': hand my primaries over, I'll be back or gone. 'drain': empty me. */
  readonly draining: 'no' | 'leaving' | 'drain'
}

/** What is wanted of the tokens of one bucket: `specs/<bucket>`. */
export interface SpecDocument {
  /** Of those that are removed, too. */
  readonly tokens: readonly Spec[]
  /** Which writes have led to it, the latest last, as far as it still knows: so that who had no answer can tell. Absent where an earlier version wrote it. */
  readonly writes?: readonly string[]
}
/** Where the tokens of one bucket are: `assignments/<bucket>`. */
export interface AssignmentDocument {
  /** The epoch of the controller that wrote it last. */
  readonly controller: number
  /** Which member that controller was, for people. Absent where an earlier version wrote it. */
  readonly by?: string
  /** Of those that are gone, too. */
  readonly tokens: readonly Assignment[]
}
/** How the copies of one bucket are on one node: `reports/<node>/<bucket>`. */
export interface ReportDocument {
  /** The run of the node that wrote it: what an earlier one wrote says nothing of this one. */
  readonly member: string
  /** One for each copy of the bucket that the node holds. */
  readonly tokens: readonly CopyReport[]
}
/** Which snapshots of one bucket are verified: `snapshots/<bucket>`. */
export interface VerifiedDocument {
  /** One for each token that has any. */
  readonly tokens: readonly VerifiedSnapshots[]
}

/** The bytes of a document of specs. */
export const specDocument = documentCodec<SpecDocument>('specs')
/** The bytes of a document of assignments. */
export const assignmentDocument = documentCodec<AssignmentDocument>('assignments')
/** The bytes of a document of reports. */
export const reportDocument = documentCodec<ReportDocument>('reports')
/** The bytes of a document of verified snapshots. */
export const verifiedDocument = documentCodec<VerifiedDocument>('verified snapshots')
/** The bytes of what a member announces: `data` of the coordinator's `MemberRecord`. */
export const memberData = documentCodec<MemberData>('member')

/** Turns one kind of document into bytes and back: JSON in UTF-8 that names its format and its kind. */
export interface DocumentCodec<T> {
  /** The bytes are the caller's. */
  encode(value: T): Uint8Array
  /** @throws KAGAMI_BAD_DOCUMENT, KAGAMI_UNKNOWN_FORMAT */
  decode(bytes: Uint8Array, name: string): T
}

function documentCodec<T extends object>(what: string): DocumentCodec<T> {
  return {
    encode: (value) => Buffer.from(JSON.stringify({ format: FORMAT, what, ...value }), 'utf8'),
    decode(bytes, name) {
      let value: unknown
      try {
        value = JSON.parse(Buffer.from(bytes).toString('utf8'))
      } catch (cause) {
        throw badDocument(name, 'is not JSON', cause)
      }
      if (typeof value !== 'object' || value === null) throw badDocument(name, 'is not an object')
      const head = value as { format?: unknown; what?: unknown }
      if (head.what !== what) throw badDocument(name, `does not hold ${what}`)
      if (head.format !== FORMAT) {
        throw new KagamiError(
          'KAGAMI_UNKNOWN_FORMAT',
          `the document ${name} is of format ${String(head.format)}, which this version of Kagami can't read; upgrade this node`,
        )
      }
      return value as T
    },
  }
}

function badDocument(name: string, why: string, cause?: unknown): KagamiError {
  return new KagamiError(
    'KAGAMI_BAD_DOCUMENT',
    `the coordinator's document ${name} ${why}: it is damaged, or something other than Kagami wrote it. Nodes write anew what they know of it; if this stays, put back what was there, or remove it while they run`,
    { cause },
  )
}
