/** What is public and says nothing of itself is found, wherever it is declared. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { doorsOf, undocumented } from '../scripts/lib/doc-comments.mjs'

let folder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'kagami-tooling-'))
  mkdirSync(join(folder, 'inner'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** What is found behind `index.d.ts`, and behind the doors that are named besides. */
function found(files, ...others) {
  for (const [name, code] of Object.entries(files)) writeFileSync(join(folder, name), code)
  const doors = ['index.d.ts', ...others].map((door) => join(folder, door))
  return undocumented(doors).map(({ file, name, problem }) => `${basename(file)} ${name} ${problem}`)
}

test('an export without a comment is found in the file that declares it, through re-exports and other names', () => {
  const files = {
    'index.d.ts': `export { a as b, C } from './inner/one.js'\nexport * from './inner/two.js'`,
    'inner/one.d.ts': `export declare const a: number\nexport type C = 'x' | 'y'\nexport declare const hidden: number`,
    'inner/two.d.ts': `/** Says something. */\nexport declare function d(): void\nexport declare function e(): void`,
  }
  expect(found(files)).toEqual([
    'one.d.ts a has no doc comment',
    'one.d.ts C has no doc comment',
    'two.d.ts e has no doc comment',
  ])
})

test('so is a member of an interface, a class or an object type, but not what is private', () => {
  const code = `
    /** Says something. */
    export interface I {
      /** Milliseconds. */
      readonly a: number
      readonly b: number
      'in-c': string
      d(): void
    }
    /** Says something. */
    export declare class K {
      #secret
      private e: number
      protected f: number
      g: number
      constructor(x: number)
    }
    /** Says something. */
    export type T = Partial<I> & (
      | { kind: 'h'; h: number }
      | {
          /** Bytes. */
          i: number
        }
    )`
  expect(found({ 'index.d.ts': code }).map((line) => line.split(' ')[1])).toEqual([
    'I.b',
    'I.in-c',
    'I.d',
    'K.g',
    'T.h',
  ])
})

test('a comment that only repeats the name is none', () => {
  const code = `
    /** The options of a frame. */
    export interface FrameOptions {
      /** The max frame bytes */
      maxFrameBytes: number
      /** Bytes of a frame, at most. */
      maxBytes: number
      /** @default 5 */
      count: number
    }`
  expect(found({ 'index.d.ts': code })).toEqual([
    'index.d.ts FrameOptions only repeats its name: "The options of a frame."',
    'index.d.ts FrameOptions.maxFrameBytes only repeats its name: "The max frame bytes"',
  ])
})

test('what two doors export is told once', () => {
  const files = { 'index.d.ts': `export * from './inner/a.js'`, 'inner/a.d.ts': 'export declare const a: number' }
  expect(found(files, 'inner/a.d.ts')).toEqual(['a.d.ts a has no doc comment'])
})

test('a door that is not built is an error, and not a door that lacks nothing', () => {
  expect(() => found({}, 'index.d.ts')).toThrow(/index\.d\.ts exports nothing: build/)
})

test('the doors of a package are those of which its manifest names the types', () => {
  const manifest = {
    exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
  }
  expect(doorsOf({ folder: '/x', manifest })).toEqual([join('/x', 'dist', 'index.d.ts')])
  expect(doorsOf({ folder: '/x', manifest: {} })).toEqual([])
})
