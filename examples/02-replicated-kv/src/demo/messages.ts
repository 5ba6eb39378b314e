/** What the demonstration and its node processes tell each other. */

export interface NodeProcessOptions {
  readonly id: string
  /** The folder that the nodes share. */
  readonly dir: string
  /** What to remove when the demonstration is gone. */
  readonly home: string
  readonly tokens: number
  readonly replicas: number
}

/** Times are of the wall clock, which all processes of a machine share. */
export type Said =
  | { readonly type: 'ready'; readonly url: string }
  | { readonly type: 'promoted'; readonly token: string; readonly epoch: number; readonly atMs: number }
  | { readonly type: 'snapshot'; readonly token: string }
  | { readonly type: 'restored'; readonly token: string; readonly tookMs: number }
  | { readonly type: 'failed'; readonly token: string; readonly message: string }

export type Told = { readonly type: 'stop' }
