/** Which errors of the contracts say that the same call may succeed later, and which must not: core decides by it. */
import type { KagamiErrorCode } from '@kagami/core/contract'

/** As the contracts state it. A code that is not here is checked by its name alone. */
export const retryable: Readonly<Partial<Record<KagamiErrorCode, boolean>>> = {
  KAGAMI_LOG_UNAVAILABLE: true,
  KAGAMI_COORDINATOR_UNAVAILABLE: true,
  KAGAMI_STORE_UNAVAILABLE: true,
  KAGAMI_STORE_FULL: true,
  KAGAMI_NODE_ID_TAKEN: true,
  KAGAMI_STOPPED: false,
  KAGAMI_SESSION_LOST: false,
  KAGAMI_BAD_OPTION: false,
  KAGAMI_LOG_REFUSED: false,
  KAGAMI_LOG_REPLACED: false,
  KAGAMI_LOG_TRUNCATED: false,
  KAGAMI_LOG_LOST_TAIL: false,
  KAGAMI_VERSION_CONFLICT: false,
  KAGAMI_DOCUMENT_TOO_LARGE: false,
  KAGAMI_SNAPSHOT_EXISTS: false,
  KAGAMI_SNAPSHOT_MISSING: false,
  KAGAMI_SNAPSHOT_CORRUPT: false,
}
