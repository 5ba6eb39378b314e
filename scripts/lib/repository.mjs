/** Where the repository is, and which packages it has. Reads the disk at each call and keeps nothing. */
import { existsSync, readFileSync, readdirSync, realpathSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/[/\\]$/, '')

/** Whether the module at `url` is the program that was started, and not imported by another. */
export function isMain(url) {
  return process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(url)
}

export function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

/** A path as people write it: below the repository's root, with slashes. */
export function shown(path) {
  return relative(root, path).split(sep).join('/')
}

/**
 * The workspaces that package.json names: `{ name, folder, manifest }`, sorted by folder. A pattern is a folder, or
 * a folder followed by `/*`.
 */
export function workspaces() {
  const folders = readJson(join(root, 'package.json')).workspaces.flatMap((pattern) =>
    pattern.endsWith('/*') ? childFolders(join(root, pattern.slice(0, -2))) : [join(root, pattern)],
  )
  return folders
    .filter((folder) => existsSync(join(folder, 'package.json')))
    .map((folder) => {
      const manifest = readJson(join(folder, 'package.json'))
      return { name: manifest.name, folder, manifest }
    })
    .sort((a, b) => (a.folder < b.folder ? -1 : 1))
}

function childFolders(parent) {
  if (!existsSync(parent)) return []
  return readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(parent, entry.name))
}

/** Every test file of a workspace, by the names that tests have; undefined where it has no folder of tests. */
export function testFiles(workspace) {
  const folder = join(workspace, 'test')
  if (!existsSync(folder)) return undefined
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((file) => /\.(test|spec)\.[cm]?[jt]sx?$/.test(file))
    .map((file) => join(folder, file))
}
