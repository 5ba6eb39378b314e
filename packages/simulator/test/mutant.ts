/** Cores with one guard taken out: a copy of the built core in a temporary folder, with a line replaced. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { NodeFactory } from '../src/index.js'

export interface Mutation {
  /** Below `dist`. */
  readonly file: string
  /** What stands there. A mutation whose guard can't be found fails its test. */
  readonly guard: string | RegExp
  readonly instead: string
}

export interface Mutant {
  readonly createNode: NodeFactory
  remove(): void
}

const dist = join(dirname(fileURLToPath(import.meta.resolve('@kagami/core'))))

export async function mutant(mutations: readonly Mutation[]): Promise<Mutant> {
  const folder = mkdtempSync(join(tmpdir(), 'kagami-mutant-'))
  const remove = (): void => rmSync(folder, { recursive: true, force: true })
  try {
    cpSync(dist, join(folder, 'dist'), { recursive: true })
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    for (const { file, guard, instead } of mutations) {
      const path = join(folder, 'dist', file)
      const source = readFileSync(path, 'utf8')
      const mutated = source.replace(guard, instead)
      if (mutated === source) throw new Error(`the guard ${String(guard)} is not in ${file}: mend the mutation`)
      writeFileSync(path, mutated)
    }
    const core = (await import(pathToFileURL(join(folder, 'dist', 'index.js')).href)) as { createKagami: NodeFactory }
    return { createNode: core.createKagami, remove }
  } catch (error) {
    remove()
    throw error
  }
}
