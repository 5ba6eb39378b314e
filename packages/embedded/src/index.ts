/**
 * `@kagami/embedded`: a commit log and a coordinator in one folder, for several processes of one machine. Names what is
 * public, and nothing else.
 */
export { embedded } from './embedded.js'
export type { Embedded } from './embedded.js'
export type { EmbeddedOptions } from './options.js'
