/**
 * Waits until the controller has carried out what somebody wants of a token, and asks for it once more where the coordinator has lost it
 * meanwhile. Knows neither what is wanted nor how it is written.
 */
import { KagamiError, type Clock } from '../contract/index.js'
import type { Directory } from './directory.js'
import { linkedAbort, sleep } from './waiting.js'

/** Longer than a watch is late as a rule: it costs a look at the coordinator. */
const LOOK_MS = 5_000

export interface Wish {
  readonly token: string
  /** Whether it is carried out. Throws when it never will be. Asked after every change of the token that this node hears of. */
  done(): boolean
  /** Whether it stands in the documents, as this node last heard. */
  stands(): boolean
  /** Writes it, unless it is there. Rejects when it is not to be any more. */
  ask(signal: AbortSignal): Promise<unknown>
}

/** Asks, and resolves when it is done. */
export async function carriedOut(
  wish: Wish,
  { clock, directory }: { readonly clock: Clock; readonly directory: Directory },
  signal: AbortSignal,
): Promise<void> {
  await wish.ask(signal)
  const link = linkedAbort(signal)
  const askAgain = async (): Promise<void> => {
    do {
      await sleep(clock, LOOK_MS, link.signal)
      if (!wish.stands()) await wish.ask(link.signal)
      // What was answered may make it done, and this node may hear of nothing more.
    } while (!wish.done())
  }
  try {
    await Promise.race([directory.until(wish.token, () => wish.done(), link.signal), askAgain()])
  } finally {
    link.abort(new KagamiError('KAGAMI_STOPPED', 'the wait is over'))
  }
}
