/** `@kagami/core`: the application's door. Adapters use `@kagami/core/contract`. */
export * from './contract/index.js'
export type * from './runtime/api.js'
export { createKagami } from './runtime/node.js'
export { systemSeams } from './runtime/system-seams.js'
