/** `@kagami/core`: the application's door. */
export * from './contract/index.js'
export type * from './runtime/api.js'
