/** Import cycles are found, and named by the files that form them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { importCycles } from '../scripts/lib/cycles.mjs'

let folder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kagami-tooling-'))
  mkdirSync(join(folder, 'inner'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function cycles(files) {
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code)
  return importCycles(folder).map((cycle) => cycle.map((file) => basename(file, '.ts')).join(' '))
}

test('none is found where imports run one way', () => {
  const files = { 'a.ts': `import './b.js'\nimport './inner/c.js'`, 'b.ts': `import './inner/c.js'`, 'inner/c.ts': '' }
  expect(cycles(files)).toEqual([])
})

test('one of two files, also through types, re-exports and import()', () => {
  expect(cycles({ 'a.ts': `import type { B } from './b.js'`, 'b.ts': `export * from './a.js'` })).toEqual(['a b'])
  expect(cycles({ 'a.ts': `export const b = () => import('./b.js')`, 'b.ts': `import './a.js'` })).toEqual(['a b'])
})

test('one through a folder, in the order of the imports', () => {
  const files = {
    'a.ts': `import './b.js'`,
    'b.ts': `import './inner/c.js'`,
    'inner/c.ts': `import '../a.js'`,
    'd.ts': `import './a.js'`,
  }
  expect(cycles(files)).toEqual(['a b c'])
})

test('two that do not touch are both found', () => {
  const files = {
    'a.ts': `import './b.js'`,
    'b.ts': `import './a.js'`,
    'e.ts': `import './f.js'`,
    'f.ts': `import './e.js'`,
  }
  expect(cycles(files)).toEqual(['a b', 'e f'])
})

test('a file that imports itself', () => {
  expect(cycles({ 'a.ts': `import { x } from './a.js'` })).toEqual(['a'])
})
