/** What a published package's manifest and folder must have. Reads the package's folder, and changes nothing. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { readJson, root, shown } from '../lib/repository.mjs'

/** The packages of `packages/` that are published, with their entry points: `{ name, folder, manifest, entries }`. */
export function publicPackages(all) {
  return all
    .filter(({ folder, manifest }) => shown(folder).startsWith('packages/') && manifest.private !== true)
    .map((each) => ({ ...each, entries: entryPoints(each.manifest) }))
}

/** Every module that a user can import: `@kagami/core`, `@kagami/core/contract`. */
function entryPoints(manifest) {
  return Object.keys(manifest.exports ?? {})
    .filter((key) => !key.endsWith('.json'))
    .map((key) => manifest.name + key.slice(1))
}

/** What is missing or wrong, as sentences. */
export function manifestProblems({ name, folder, manifest }) {
  const problems = []
  const demand = (right, sentence) => right || problems.push(sentence)
  const where = shown(folder)
  demand(manifest.type === 'module', 'type must be "module"')
  demand(manifest.sideEffects === false, 'sideEffects must be false')
  demand(manifest.license === 'Apache-2.0', 'license must be "Apache-2.0"')
  demand(typeof manifest.description === 'string' && manifest.description.length > 0, 'description is missing')
  demand(
    manifest.engines?.node === readJson(join(root, 'package.json')).engines.node,
    "engines.node must be the root's",
  )
  demand(manifest.repository?.directory === where, `repository.directory must be "${where}"`)
  demand(manifest.publishConfig?.access === 'public', 'publishConfig.access must be "public"')
  demand(Array.isArray(manifest.files) && manifest.files.includes('dist'), 'files must hold "dist"')
  demand(manifest.exports?.['.'] !== undefined, 'exports must have "."')
  demand(manifest.exports?.['./package.json'] === './package.json', 'exports must have "./package.json"')
  for (const [key, target] of Object.entries(manifest.exports ?? {})) {
    if (key.endsWith('.json')) continue
    const keys = Object.keys(target)
    demand(keys[0] === 'types' && keys.at(-1) === 'default', `exports["${key}"] must have types first and default last`)
    for (const path of Object.values(target))
      demand(existsSync(join(folder, path)), `exports["${key}"] names ${path}, which the build does not make`)
  }
  for (const [dependency, version] of Object.entries(manifest.dependencies ?? {})) {
    demand(
      /^\d/.test(version) || /^[\^~]\d/.test(version),
      `the dependency ${dependency} must have a version, not "${version}"`,
    )
  }
  demand(existsSync(join(folder, 'README.md')), 'README.md is missing')
  const license = join(folder, 'LICENSE')
  demand(
    existsSync(license) && readFileSync(license, 'utf8') === readFileSync(join(root, 'LICENSE'), 'utf8'),
    `${where}/LICENSE must be a copy of the root's (npm packs only what lies in the package)`,
  )
  for (const file of staleFiles(folder))
    problems.push(`dist/${file} has no source any more: remove dist, and build again`)
  return problems.map((problem) => `${name}: ${problem}`)
}

/** Files that an earlier build left in dist, and that would be published. */
function staleFiles(folder) {
  const dist = join(folder, 'dist')
  if (!existsSync(dist)) return []
  return readdirSync(dist, { recursive: true })
    .map(String)
    .filter((file) => file.endsWith('.js') && !existsSync(join(folder, 'src', file.replace(/\.js$/, '.ts'))))
}

/** What is wrong with the list of packed files. */
export function packedProblems(name, files) {
  const problems = []
  for (const needed of ['package.json', 'README.md', 'LICENSE']) {
    if (!files.includes(needed)) problems.push(`${name}: the tarball lacks ${needed}`)
  }
  for (const file of files) {
    if (/(^|\/)(test|node_modules|coverage)\/|\.tsbuildinfo$|\.tgz$|^vitest\.config|^tsconfig/.test(file)) {
      problems.push(`${name}: the tarball holds ${file}`)
    }
  }
  return problems
}
