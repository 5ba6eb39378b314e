/**
 * One call's end by abort: the caller's signal and the store's own in one, and waits that end with it. A call to the file
 * system can't be called back, so the wait for it ends, and what it does later is undone by whoever began it.
 */
import { listenForAbort } from '@kagami/core/contract'

/** Two signals as one, until `end`. */
export interface Call {
  readonly signal: AbortSignal
  end(): void
}

// AbortSignal.any would keep each call's signal for as long as the store's own lives.
export function beginCall(...signals: readonly AbortSignal[]): Call {
  const controller = new AbortController()
  const unlistens: (() => void)[] = []
  for (const signal of signals) {
    if (signal.aborted) controller.abort(signal.reason)
    else unlistens.push(listenForAbort(signal, () => controller.abort(signal.reason)))
  }
  return { signal: controller.signal, end: () => unlistens.forEach((unlisten) => unlisten()) }
}

/**
 * What `work` gives, or the signal's reason from `graceMs` after an abort on. Work that is abandoned so goes on; how it
 * ends is told to nobody.
 */
export function orAborted<T>(work: Promise<T>, signal: AbortSignal, graceMs = 0): Promise<T> {
  return new Promise((resolve, reject) => {
    let grace: NodeJS.Timeout | undefined
    let unlisten: () => void = () => undefined
    const onAbort = () => {
      if (graceMs === 0) settle(() => reject(signal.reason as Error))
      else grace = setTimeout(() => settle(() => reject(signal.reason as Error)), graceMs)
    }
    const settle = (how: () => void) => {
      unlisten()
      clearTimeout(grace)
      how()
    }
    work.then(
      (value) => settle(() => resolve(value)),
      (error: unknown) => settle(() => reject((signal.aborted ? signal.reason : error) as Error)),
    )
    if (signal.aborted) onAbort()
    else unlisten = listenForAbort(signal, onAbort)
  })
}
