/** The hooks that an application gave for its tokens. Called synchronously; what they throw, or reject with, is logged and harms nobody. */
import type { Logger } from '../contract/index.js'
import type { TokenOptions } from './api.js'
import type { RoleHooks } from './copy-role.js'

export class AppHooks {
  readonly #logger: Logger
  readonly #byToken = new Map<string, RoleHooks>()

  constructor(logger: Logger) {
    this.#logger = logger
  }

  get(token: string): RoleHooks | undefined {
    return this.#byToken.get(token)
  }

  /** Replaces those of the token, if any are given now. Gives the new ones. */
  set(token: string, { onPromote, onDemote }: TokenOptions): RoleHooks | undefined {
    if (onPromote === undefined && onDemote === undefined) return undefined
    const hooks: RoleHooks = {
      onPromote: (context) => this.#run(`onPromote of '${token}'`, () => onPromote?.(context)),
      onDemote: () => this.#run(`onDemote of '${token}'`, () => onDemote?.()),
    }
    this.#byToken.set(token, hooks)
    return hooks
  }

  #run(name: string, hook: () => void | Promise<void> | undefined): void {
    const failed = (error: unknown): void => this.#logger.error(`${name} failed`, { error })
    try {
      Promise.resolve(hook()).catch(failed)
    } catch (error) {
      failed(error)
    }
  }
}
