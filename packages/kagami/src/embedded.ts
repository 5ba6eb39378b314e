/** `kagami/embedded`: the adapter @kagami/embedded, loaded only when this is imported. */
export * from '@kagami/embedded'
