/** `kagami/placement-even`: the adapter @kagami/placement-even, loaded only when this is imported. */
export * from '@kagami/placement-even'
