/**
 * `@kagami/core/engine`: the protocol's decisions and formats, for tools that read logs and documents: the simulator, an
 * inspector. No promise to applications: it changes with the formats. Never imported by adapters.
 */
export { admit, compareEpochs, emptyState } from './admission.js'
export type { CopyState, IgnoreReason, Verdict } from './admission.js'
export { chainAfterBarrier, chainAfterData, chainOfOpen } from './chain.js'
export {
  assignmentDocument,
  BUCKETS,
  bucketOf,
  memberData,
  reportDocument,
  specDocument,
  verifiedDocument,
} from './documents.js'
export type {
  Assignment,
  AssignmentDocument,
  CopyReport,
  DocumentCodec,
  LogRef,
  MemberData,
  ReportDocument,
  Spec,
  SpecDocument,
  VerifiedDocument,
  VerifiedSnapshots,
  Wishes,
} from './documents.js'
export { decodeEntries, decodeFrame, encodeEntries, encodeFrame, FRAME_FORMAT, recordChecksum } from './frame.js'
export type {
  BarrierFrame,
  DataFrame,
  DecodedFrame,
  Frame,
  LevelFrame,
  MarkerFrame,
  OpenFrame,
  SkippedFrame,
} from './frame.js'
