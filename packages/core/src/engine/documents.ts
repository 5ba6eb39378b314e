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

export interface LogRef {
  readonly address: string
  readonly identity: string
}

/** How people want a token to be, for as long as it lives. */
export interface Wishes {
  readonly replicas: number
  readonly weight: number
  readonly primary: 'balanced' | 'self'
  /** With 'self': the owner's node id. */
  readonly owner: string | null
  readonly failover: 'promote' | 'hold'
  readonly failback: boolean
}

/** What people want of a token. Written by any node, by compare-and-set. */
export interface Spec extends Wishes {
  readonly token: string
  /** Which creation of the token this is about, from 1 on; see {@link generationOf}. */
  readonly generation: number
  readonly removed: boolean
  /** The highest creation before this one that people have removed, as far as was known; 0: none. That this one is later says nothing of any other. */
  readonly removedBefore: number
  /** A primary that someone asked for; the controller follows it until it is there, or the node is gone. */
  readonly handover: { readonly to: string; readonly nonce: string } | null
  /** The token is taken over from an existing log instead of being created. */
  readonly adopt: { readonly incarnation: number; readonly epoch: number; readonly log: LogRef } | null
}

/** Where a token is. Written by the controller only. */
export interface Assignment {
  readonly token: string
  readonly incarnation: number
  /**
   * opening: the open frame is not read back yet. deleting: the frame that ends the incarnation isn't. deleted: it is; log and
   * snapshots are still to be cleaned up. gone: they are.
   */
  readonly phase: 'opening' | 'open' | 'deleting' | 'deleted' | 'gone'
  readonly log: LogRef
  readonly epoch: number
  /**
   * The next position where any copy had come furthest, as far as was told before this epoch was given out: who finds less before its barrier knows that the log
   * has lost some. Of another incarnation it says nothing. Absent where an earlier version wrote it.
   */
  readonly reached?: Position
  readonly primary: { readonly node: string; readonly member: string } | null
  /** Node ids, sorted, without the primary's. */
  readonly replicas: readonly string[]
  /** The node that takes the snapshots. */
  readonly snapshotter: string | null
  /** The nonce of the spec's handover, once its node was lost: it is not followed any more. */
  readonly handoverGivenUp: string | null
  /** What it was made by, for whoever finds no spec. Absent until the first step after it was opened, and where an earlier version wrote it. */
  readonly wanted?: Wishes
}

/** How a copy is. Written by the member that holds it. */
export interface CopyReport {
  readonly token: string
  readonly incarnation: number
  /** In force, as far as this copy has read. */
  readonly epoch: number
  readonly nextIndex: number
  /** The next index where the epoch in force began. Absent where this copy has not read its barrier, and where an earlier version wrote it. */
  readonly epochBegan?: number
  /** The next position where the node's copies of the token had come furthest, in earlier runs too: what is before it was in the log. Absent where an earlier version wrote it. */
  readonly reached?: Position
  readonly phase: 'restoring' | 'running' | 'failed'
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
  readonly error: string | null
}

/** The snapshots of a token that were read back and found whole. Written by the designated snapshotter. */
export interface VerifiedSnapshots {
  readonly token: string
  readonly incarnation: number
  readonly ids: readonly string[]
}

/** A member's data. */
export interface MemberData {
  readonly zone: string | null
  readonly capacity: number
  readonly meta: unknown
  /** 'leaving': hand my primaries over, I'll be back or gone. 'drain': empty me. */
  readonly draining: 'no' | 'leaving' | 'drain'
}

export interface SpecDocument {
  readonly tokens: readonly Spec[]
  /** Which writes have led to it, the latest last, as far as it still knows: so that who had no answer can tell. Absent where an earlier version wrote it. */
  readonly writes?: readonly string[]
}
export interface AssignmentDocument {
  /** The epoch of the controller that wrote it last. */
  readonly controller: number
  /** Which member that controller was, for people. Absent where an earlier version wrote it. */
  readonly by?: string
  readonly tokens: readonly Assignment[]
}
export interface ReportDocument {
  readonly member: string
  readonly tokens: readonly CopyReport[]
}
export interface VerifiedDocument {
  readonly tokens: readonly VerifiedSnapshots[]
}

export const specDocument = documentCodec<SpecDocument>('specs')
export const assignmentDocument = documentCodec<AssignmentDocument>('assignments')
export const reportDocument = documentCodec<ReportDocument>('reports')
export const verifiedDocument = documentCodec<VerifiedDocument>('verified snapshots')
export const memberData = documentCodec<MemberData>('member')

export interface DocumentCodec<T> {
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
