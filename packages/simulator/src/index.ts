/** `@kagami/simulator`: whole clusters of the core that ships, on a virtual clock, with one seed for every choice. */
export { simulate } from './simulate.js'
export type { SimulateOptions, SimulateResult } from './simulate.js'
export { faultKinds } from './kernel/faults.js'
export type { FaultKind, FaultOptions } from './kernel/faults.js'
export type { Violation } from './kernel/trace.js'
export type { NodeFactory } from './load/cluster.js'
