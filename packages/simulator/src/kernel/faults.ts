/** Which faults a run has, and how often. Draws a profile from the seed, so that some runs lack what others have much of. */
import type { Chance } from './chance.js'

/** Probabilities of faults of single calls, and rates per virtual second of faults of nodes and servers. */
const usual = {
  /** An append takes so long that others overtake it, or that its answer is given up. */
  appendDelayed: 0.05,
  /** An append lands, and its writer is told that it failed. */
  appendAnswerLost: 0.04,
  /** An append's writer is told that it failed, and then it lands. */
  appendLandsLate: 0.04,
  /** An append lands twice, the second time later. */
  appendDuplicated: 0.04,
  /** An append fails, and never lands. */
  appendDropped: 0.04,
  /** An append is refused because the log has no room. */
  appendFull: 0.01,
  /** An append is refused for good. */
  appendRefused: 0.01,
  /** A reader hears of records late. */
  readSlow: 0.02,
  /** Any other call of the log fails. */
  logCallFailed: 0.03,
  /** A document is written late, or its writer hears of it late. */
  documentSlow: 0.05,
  /** A document's writer is told that the coordinator is unavailable; half of the time it was written. */
  documentUnknown: 0.04,
  /** A watcher hears of a change late. */
  watchLate: 0.05,
  /** A snapshot is cut short. */
  snapshotTorn: 0.08,
  /** A snapshot is published with other bytes than it was given. */
  snapshotMangled: 0.04,
  /** A call of the store takes long. */
  storeSlow: 0.05,
  /** A call of the store fails. */
  storeCallFailed: 0.04,
  crash: 0.12,
  pause: 0.15,
  cut: 0.2,
  sessionExpired: 0.06,
  wipe: 0.03,
  /** The coordinator goes back to an older state, of the same incarnations. */
  rollback: 0.03,
  /** The coordinator goes back to a state from before a token was created or deleted. */
  rollbackFar: 0.03,
  /** How likely the documents are wiped also while they are all that remembers a token that was deleted. */
  deletionsForgotten: 1,
  /** How likely the versions of documents, after these were lost, are versions that were used before. */
  versionsReused: 1,
  storeDown: 0.04,
  bitRot: 0.06,
  poison: 0.03,
  /** Not a fault: a client gives up on a write soon after it began. */
  clientAbort: 0.05,
  /** Not a fault: an orderly stop, and a start some time later. */
  restart: 0.08,
}

/** Only where they are asked for by name: what they do is known, and not healed. The package's README says what. */
const onRequest: readonly string[] = ['deletionsForgotten', 'versionsReused']

/** The name of a fault, as `SimulateOptions.faults` takes it and `SimulateResult.counts` shows it. */
export type FaultKind = keyof typeof usual
/** Every fault that a run can have. The README says what each does, and which happen only where they are asked for. */
export const faultKinds = Object.keys(usual) as readonly FaultKind[]

/** Multiplies how often a fault happens; 0: never. `all` is for those not named. */
export type FaultOptions = Partial<Record<FaultKind | 'all', number>>

export class Faults {
  readonly #chance: Chance
  readonly #rates: Record<FaultKind, number> = { ...usual }
  #on = true

  constructor(chance: Chance, options: FaultOptions) {
    this.#chance = chance
    for (const kind of faultKinds) {
      const dice = chance.below(10)
      const swarm = dice < 4 ? 0 : dice < 8 ? 1 : 3
      this.#rates[kind] *= options[kind] ?? (onRequest.includes(kind) ? 0 : (options.all ?? 1) * swarm)
    }
  }

  stop(): void {
    this.#on = false
  }

  /** Whether this call meets that fault. */
  happens(kind: FaultKind): boolean {
    return this.#on && this.#chance.happens(this.#rates[kind])
  }

  /** How often per virtual second. */
  rate(kind: FaultKind): number {
    return this.#on ? this.#rates[kind] : 0
  }
}
