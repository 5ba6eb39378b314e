/** The project's own ESLint rules, as a plugin. */
import { importDirections } from './import-directions.mjs'
import { coreGlobals, coreModules } from './seams.mjs'

export const kagamiPlugin = {
  meta: { name: 'kagami' },
  rules: { 'import-directions': importDirections, 'core-globals': coreGlobals, 'core-modules': coreModules },
}
