/**
 * The lock file must install anywhere: it names no registry host, every package carries an integrity, and the manifests
 * ask for nothing that it doesn't hold.
 */
import { join } from 'node:path'
import { isMain, readJson, root, shown, workspaces } from './lib/repository.mjs'

/** What is wrong with a lock file's content, as sentences; `manifests` maps a workspace's path to its package.json. */
export function lockfileProblems(lock, manifests) {
  const problems = []
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (/^[a-z+]+:\/\//.test(entry.resolved ?? '')) {
      problems.push(
        `${path} names a host: ${entry.resolved}. The project's .npmrc leaves it out; run \`npm install\` here.`,
      )
    }
    if (
      path.includes('node_modules/') &&
      entry.link !== true &&
      entry.integrity === undefined &&
      entry.inBundle !== true
    ) {
      problems.push(`${path} has no integrity. Remove its entry and run \`npm install\`.`)
    }
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (!holds(lock, path, name)) {
        problems.push(
          `${path} may need ${name}, which is missing, so \`npm ci\` refuses the file. Pin a version whose platform builds are all published.`,
        )
      }
    }
  }
  for (const [path, manifest] of Object.entries(manifests)) {
    const locked = lock.packages[path] ?? {}
    for (const field of ['dependencies', 'devDependencies', 'peerDependencies', 'optionalDependencies']) {
      if (JSON.stringify(sorted(manifest[field])) !== JSON.stringify(sorted(locked[field]))) {
        problems.push(`${path || 'package.json'}: its ${field} are not those of the lock file. Run \`npm install\`.`)
      }
    }
  }
  return problems
}

/** Whether a package that `path` needs lies in its own node_modules, or in that of a folder above. */
function holds(lock, path, name) {
  const segments = path.split('/')
  for (let length = segments.length; length >= 0; length -= 1) {
    const folder = segments.slice(0, length).join('/')
    if (Object.hasOwn(lock.packages, `${folder === '' ? '' : `${folder}/`}node_modules/${name}`)) return true
  }
  return false
}

function sorted(record = {}) {
  return Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1))
}

if (isMain(import.meta.url)) {
  const manifests = { '': readJson(join(root, 'package.json')) }
  for (const { folder, manifest } of workspaces()) manifests[shown(folder)] = manifest
  const problems = lockfileProblems(readJson(join(root, 'package-lock.json')), manifests)
  for (const problem of problems) console.log(problem)
  process.exitCode = problems.length === 0 ? 0 : 1
}
