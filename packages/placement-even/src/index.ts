/** `@kagami/placement-even`: the door. Names what is public, and nothing else. */
export { evenPlacement } from './even-placement.js'
export type { EvenPlacementOptions } from './even-placement.js'
