/** The project's own ESLint rules, as a plugin. */
import { importDirections } from './import-directions.mjs'
import { coreModules } from './seams.mjs'

export const kagamiPlugin = {
  meta: { name: 'kagami' },
  rules: { 'import-directions': importDirections, 'core-modules': coreModules },
}
