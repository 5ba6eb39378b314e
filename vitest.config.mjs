/** Settings for the tests of the tooling, which lie in `test/`. */
import { sharedConfig } from './vitest.shared.mjs'

export default sharedConfig(import.meta.url, { name: 'tooling' })
