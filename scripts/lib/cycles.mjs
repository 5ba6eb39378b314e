/** Finds import cycles inside of a package. Reads sources and resolves relative imports only; types count as imports. */
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import ts from 'typescript'

/** The cycles below `folder`, each as a list of files of which every one imports the next, and the last the first. */
export function importCycles(folder) {
  if (!existsSync(folder)) return []
  const files = readdirSync(folder, { recursive: true })
    .filter((file) => /\.[cm]?ts$/.test(file) && !file.endsWith('.d.ts'))
    .map((file) => join(folder, file))
    .sort()
  const known = new Set(files)
  const edges = new Map(files.map((file) => [file, importsOf(file).filter((target) => known.has(target))]))
  return components(edges).map((members) => shortestCycle(edges, members))
}

function importsOf(file) {
  const { importedFiles } = ts.preProcessFile(readFileSync(file, 'utf8'), true, true)
  return importedFiles
    .map(({ fileName }) => fileName)
    .filter((name) => name.startsWith('.'))
    .map((name) => resolve(dirname(file), name.replace(/\.(m|c)?js$/, '.$1ts')))
}

/** The strongly connected components of more than one file, or of one that imports itself (Tarjan). */
function components(edges) {
  const index = new Map()
  const low = new Map()
  const stack = []
  const onStack = new Set()
  const found = []
  const visit = (file) => {
    index.set(file, index.size)
    low.set(file, index.get(file))
    stack.push(file)
    onStack.add(file)
    for (const next of edges.get(file)) {
      if (!index.has(next)) {
        visit(next)
        low.set(file, Math.min(low.get(file), low.get(next)))
      } else if (onStack.has(next)) low.set(file, Math.min(low.get(file), index.get(next)))
    }
    if (low.get(file) !== index.get(file)) return
    const members = stack.splice(stack.indexOf(file))
    for (const member of members) onStack.delete(member)
    if (members.length > 1 || edges.get(file).includes(file)) found.push(new Set(members))
  }
  for (const file of edges.keys()) if (!index.has(file)) visit(file)
  return found
}

/** A component may hold hundreds of cycles; the shortest one through its first file is the one to read. */
function shortestCycle(edges, members) {
  const start = [...members].sort()[0]
  const from = new Map([[start, undefined]])
  const queue = [start]
  for (const file of queue) {
    for (const next of edges.get(file)) {
      if (next === start) {
        const path = []
        for (let at = file; at !== undefined; at = from.get(at)) path.unshift(at)
        return path
      }
      if (members.has(next) && !from.has(next)) {
        from.set(next, file)
        queue.push(next)
      }
    }
  }
  throw new Error('A strongly connected component holds a cycle.')
}
