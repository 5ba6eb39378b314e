import { sharedConfig } from '../../vitest.shared.mjs'

export default sharedConfig(import.meta.url)
