/** Opens a token's log for whoever may give up waiting for it. Reads and writes nothing. */
import { orAborted, type CommitLog, type LogAddress, type Logger, type TokenLog } from '../contract/index.js'

export interface OpenLogOptions {
  readonly token: string
  readonly signal: AbortSignal
  readonly logger: Logger
}

/** One that is opened after all, when nobody waits for it any more, is closed. @throws what `CommitLog.open` throws, the signal's reason */
export async function openLog(
  log: Pick<CommitLog, 'open'>,
  address: LogAddress,
  { token, signal, logger }: OpenLogOptions,
): Promise<TokenLog> {
  const opening = log.open(address, { token, signal })
  try {
    return await orAborted(opening, signal)
  } catch (error) {
    const closed = opening.then(
      (late) => late.close(),
      () => undefined,
    )
    closed.catch((error: unknown) => logger.warn(`closing a log of '${token}' failed`, { error }))
    throw error
  }
}
