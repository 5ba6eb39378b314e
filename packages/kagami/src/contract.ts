/** `kagami/contract`: what adapters and state machines promise. */
export * from '@kagami/core/contract'
