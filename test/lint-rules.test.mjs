/** Lints snippets under the paths of real and of imagined files: each rule of the house reports what it must, and no more. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ESLint } from 'eslint'
import tseslint from 'typescript-eslint'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const untyped = new ESLint({
  cwd: root,
  // Imagined files belong to no TypeScript project.
  overrideConfig: [{ files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }],
})
const typed = new ESLint({ cwd: root })

async function rulesBrokenBy(eslint, file, code) {
  const [result] = await eslint.lintText(code, { filePath: join(root, file) })
  const fatal = result.messages.find((message) => message.fatal || message.ruleId === null)
  if (fatal !== undefined) throw new Error(`${file}: ${fatal.message}`)
  return [...new Set(result.messages.map((message) => message.ruleId))].filter(
    (rule) => !rule.endsWith('no-unused-vars'),
  )
}

const contract = 'packages/core/src/contract/virtual.ts'
const state = 'packages/core/src/state/virtual.ts'
const engine = 'packages/core/src/engine/virtual.ts'
const deepEngine = 'packages/core/src/engine/log/virtual.ts'
const runtime = 'packages/core/src/runtime/virtual.ts'
const door = 'packages/core/src/virtual.ts'
const coreTest = 'packages/core/test/engine/virtual.test.ts'
const adapter = 'packages/snapshot-fs/src/virtual.ts'
const adapterTest = 'packages/snapshot-fs/test/virtual.test.ts'
const unknownAdapter = 'packages/carrier-pigeon/src/virtual.ts'
const testkit = 'packages/testkit/src/virtual.ts'
const simulator = 'packages/simulator/src/virtual.ts'
const kagami = 'packages/kagami/src/virtual.ts'
const example = 'examples/02-replicated-kv/src/virtual.ts'

describe('imports run one way', () => {
  const refused = [
    [contract, `import { a } from '../engine/a.js'`],
    [contract, `import type { A } from '../runtime/a.js'`],
    [contract, `import { a } from '../index.js'`],
    [contract, `import { isDeepStrictEqual } from 'node:util'`],
    [contract, `import { a } from 'lmdb'`],
    [state, `import { a } from '../engine/a.js'`],
    [state, `import { a } from '../runtime/a.js'`],
    [engine, `import { a } from '../runtime/a.js'`],
    [engine, `import { a } from '../state/a.js'`],
    [engine, `import { a } from '../index.js'`],
    [engine, `export { a } from '../runtime/a.js'`],
    [engine, `export * from '../runtime/a.js'`],
    [engine, `export type A = import('../runtime/a.js').A`],
    [engine, `export const a = () => import('../runtime/a.js')`],
    [engine, 'export const a = () => import(`../runtime/a.js`)'],
    [engine, `export const a = (name: string) => import(name)`],
    [deepEngine, `import { a } from '../../runtime/a.js'`],
    [runtime, `import { a } from '../index.js'`],
    [runtime, `import { a } from 'pino'`],
    [runtime, `import { a } from '@kagami/core/contract'`],
    [runtime, `import { a } from '@kagami/testkit'`],
    [runtime, `import { a } from '../../../testkit/src/a.js'`],
    [runtime, `import { a } from '../../test/a.js'`],
    [door, `import { a } from '@kagami/embedded'`],
    [adapter, `import { a } from '@kagami/core'`],
    [adapter, `import { a } from '@kagami/core/other'`],
    [adapter, `import { a } from '@kagami/embedded'`],
    [adapter, `export * from '@kagami/placement-even'`],
    [adapter, `export type A = import('@kagami/testkit').A`],
    [adapter, `import { a } from '@kagami/snapshot-fs'`],
    [adapter, `import { a } from 'kagami'`],
    [adapter, `import { a } from '../../core/src/contract/index.js'`],
    [adapter, `import { a } from '@kagami/core/dist/contract/index.js'`],
    [adapter, `import { a } from 'left-pad'`],
    [adapterTest, `import { a } from '@kagami/core/src/index.js'`],
    [adapterTest, `import { a } from '../../core/src/index.js'`],
    [adapterTest, `import { a } from 'left-pad'`],
    [unknownAdapter, `import { a } from '@kagami/core'`],
    [unknownAdapter, `import { a } from '@kagami/kafka'`],
    [testkit, `import { a } from '@kagami/core'`],
    [testkit, `import { a } from '@kagami/embedded'`],
    [testkit, `import { test } from 'vitest'`],
    [simulator, `import { a } from '@kagami/embedded'`],
    [simulator, `import { a } from '@kagami/placement-even'`],
    [simulator, `import { a } from 'kagami'`],
    [kagami, `import { a } from '@kagami/core/dist/index.js'`],
    [example, `import { a } from '../../../packages/core/src/index.js'`],
    [example, `import { a } from '@kagami/embedded/dist/index.js'`],
    ['benchmarks/src/virtual.ts', `import { a } from '@kagami/core/src/index.js'`],
    ['benchmarks/virtual.mjs', `import { a } from '../packages/core/dist/index.js'\nconsole.log(a)`],
  ]
  test.each(refused)('refused in %s: %s', async (file, code) => {
    expect(await rulesBrokenBy(untyped, file, code)).toContain('kagami/import-directions')
  })

  const allowed = [
    [contract, `import type { A } from './position.js'`],
    [state, `import { KagamiError } from '../contract/errors.js'`],
    [engine, `import { KagamiError } from '../contract/index.js'`],
    [engine, `import { crc32 } from 'node:zlib'`],
    [engine, `import { a } from './a.js'`],
    [deepEngine, `import { a } from '../a.js'`],
    [deepEngine, `import { KagamiError } from '../../contract/errors.js'`],
    [runtime, `import { a } from '../engine/a.js'`],
    [runtime, `import { a } from '../state/a.js'`],
    [runtime, `import type { A } from '../contract/index.js'`],
    [door, `export { a } from './runtime/a.js'`],
    [door, `export * from './contract/index.js'`],
    [coreTest, `import { a } from '../../src/engine/a.js'`],
    [coreTest, `import { memoryCluster } from '@kagami/testkit'`],
    [coreTest, `import fc from 'fast-check'`],
    [coreTest, `import { expect } from 'vitest'`],
    [adapter, `import { KagamiError } from '@kagami/core/contract'`],
    [adapter, `import { a } from './inner/a.js'`],
    [adapter, `import { open } from 'node:fs/promises'`],
    [adapterTest, `import { conformance } from '@kagami/testkit'`],
    [adapterTest, `import { a } from '../src/a.js'`],
    [unknownAdapter, `import { KagamiError } from '@kagami/core/contract'`],
    [unknownAdapter, `import { send } from 'pigeon'`],
    [testkit, `import { KagamiError } from '@kagami/core/contract'`],
    [simulator, `import { createKagami } from '@kagami/core'`],
    [simulator, `import { KagamiError } from '@kagami/core/contract'`],
    [simulator, `import { a } from '@kagami/testkit'`],
    [kagami, `export * from '@kagami/core'`],
    [kagami, `export const a = () => import('@kagami/embedded')`],
    [example, `import { a } from 'kagami'`],
    ['packages/core/vitest.config.mjs', `import { a } from '../../vitest.shared.mjs'\na()`],
  ]
  test.each(allowed)('allowed in %s: %s', async (file, code) => {
    expect(await rulesBrokenBy(untyped, file, code)).not.toContain('kagami/import-directions')
  })
})

describe('core has no clock, chance, console or thread pool', () => {
  const refused = [
    ['no-restricted-globals', `export const a = () => Date.now()`],
    ['no-restricted-globals', `export const a = () => new Date()`],
    ['no-restricted-globals', `export const a = () => performance.now()`],
    ['no-restricted-globals', `export const a = () => setTimeout(() => {}, 1)`],
    ['no-restricted-globals', `export const a = () => setInterval(() => {}, 1)`],
    ['no-restricted-globals', `export const a = () => setImmediate(() => {})`],
    ['no-restricted-globals', `export const a = (b = setTimeout) => b`],
    ['no-restricted-globals', `export const a = () => crypto.randomUUID()`],
    ['no-restricted-globals', `export const a = () => crypto.getRandomValues(new Uint8Array(8))`],
    ['no-restricted-globals', `export const a = () => crypto.subtle.digest('SHA-256', new Uint8Array(8))`],
    ['no-restricted-globals', `export const a = () => console.log('a')`],
    ['no-restricted-globals', `export const a = () => process.hrtime.bigint()`],
    ['no-restricted-globals', `export const a = () => globalThis.Date.now()`],
    ['no-restricted-globals', `export const a = () => global.setTimeout(() => {}, 1)`],
    ['no-restricted-globals', `export const a = () => fetch('http://localhost')`],
    ['no-restricted-globals', `export const a = () => new MessageChannel()`],
    ['no-restricted-globals', `export const a = (b: object) => new WeakRef(b)`],
    ['no-restricted-globals', `export const a = () => new CompressionStream('gzip')`],
    ['no-restricted-properties', `export const a = () => Math.random()`],
    ['no-restricted-properties', `export const a = () => Math['random']()`],
    ['no-restricted-properties', `const { random } = Math\nexport const a = random`],
    ['no-restricted-properties', `export const a = () => AbortSignal.timeout(1)`],
    ['kagami/core-modules', `import { setTimeout } from 'node:timers'`],
    ['kagami/core-modules', `import { setTimeout } from 'node:timers/promises'`],
    ['kagami/core-modules', `import { readFile } from 'node:fs'`],
    ['kagami/core-modules', `import { readFile } from 'node:fs/promises'`],
    ['kagami/core-modules', `import { lookup } from 'node:dns'`],
    ['kagami/core-modules', `import { performance } from 'node:perf_hooks'`],
    ['kagami/core-modules', `import { Worker } from 'node:worker_threads'`],
    ['kagami/core-modules', `import process from 'node:process'`],
    ['kagami/core-modules', `import { gzip } from 'node:zlib'`],
    ['kagami/core-modules', `import { crc32, gzip } from 'node:zlib'`],
    ['kagami/core-modules', `import zlib from 'node:zlib'`],
    ['kagami/core-modules', `import * as zlib from 'node:zlib'`],
    ['kagami/core-modules', `import { randomBytes } from 'node:crypto'`],
    ['kagami/core-modules', `import { randomBytes as hash } from 'node:crypto'`],
    ['kagami/core-modules', `import { pbkdf2 } from 'node:crypto'`],
    ['kagami/core-modules', `import 'node:fs'`],
    ['kagami/core-modules', `export { gzip } from 'node:zlib'`],
    ['kagami/core-modules', `export * from 'node:zlib'`],
    ['kagami/core-modules', `export const a = () => import('node:zlib')`],
    ['kagami/core-modules', `import { setTimeout } from 'timers'`],
    ['kagami/core-modules', `import { readFile } from 'fs/promises'`],
  ]
  test.each(refused)('%s refuses: %s', async (rule, code) => {
    for (const file of [engine, runtime, state, door]) expect(await rulesBrokenBy(untyped, file, code)).toContain(rule)
  })

  const allowed = [
    `import { crc32 } from 'node:zlib'\nexport const a = (b: Uint8Array) => crc32(b)`,
    `import { createHash, hash } from 'node:crypto'\nexport const a = [createHash, hash]`,
    `import type { Readable } from 'node:stream'\nexport type A = Readable`,
    `import { type Gzip, crc32 } from 'node:zlib'\nexport type A = Gzip\nexport const a = crc32`,
    `import { isDeepStrictEqual } from 'node:util'\nexport const a = isDeepStrictEqual`,
    `export const a = (clock: { now(): number }) => clock.now()`,
    `export const a = () => Math.floor(1.5)`,
    `export const a = () => AbortSignal.any([new AbortController().signal])`,
    `export const a = (b: () => void) => queueMicrotask(b)`,
    `export const a = (performance: { now(): number }) => performance.now()`,
  ]
  test.each(allowed)('allows: %s', async (code) => {
    expect(await rulesBrokenBy(untyped, runtime, code)).toEqual([])
  })

  test('the one file that implements the seams is excepted, and no other', async () => {
    const code = `import { randomBytes } from 'node:crypto'\nexport const a = () => [Date.now(), Math.random(), randomBytes(8)]`
    expect(await rulesBrokenBy(untyped, 'packages/core/src/runtime/system-seams.ts', code)).toEqual([])
    expect(await rulesBrokenBy(untyped, 'packages/core/src/engine/system-seams.ts', code)).not.toEqual([])
    expect(await rulesBrokenBy(untyped, 'packages/core/src/runtime/system-seams-2.ts', code)).not.toEqual([])
  })

  test('other packages, and the tests of core, may use the system', async () => {
    const code = `export const a = () => [Date.now(), Math.random(), setTimeout(() => {}, 1)]`
    for (const file of [adapter, simulator, coreTest]) expect(await rulesBrokenBy(untyped, file, code)).toEqual([])
  })
})

describe('the rules of the house', () => {
  const refused = [
    ['no-restricted-syntax', engine, `export const a = async () => {}`],
    [
      'no-restricted-syntax',
      engine,
      `export async function a(b: AsyncIterable<number>) { for await (const c of b) void c }`,
    ],
    ['no-restricted-syntax', engine, `export const a = () => new Promise(() => {})`],
    ['no-restricted-syntax', adapter, `export default 1`],
    ['no-restricted-syntax', adapter, `let a = 1\nexport const b = () => a++`],
    ['no-restricted-syntax', adapter, `export let a = 1`],
    ['no-restricted-syntax', engine, `export let a = 1`],
    ['no-restricted-syntax', adapter, `export enum A { B }`],
    ['no-restricted-syntax', adapter, `export const a = () => { throw 'text' }`],
    ['no-restricted-syntax', adapter, `export class A { constructor(readonly b: number) {} }`],
    ['no-restricted-syntax', adapterTest, `import { test } from 'vitest'\ntest.only('a', () => {})`],
    ['no-restricted-syntax', adapterTest, `import { it } from 'vitest'\nit.skipIf(true)('a', () => {})`],
    ['no-restricted-syntax', adapterTest, `import { test } from 'vitest'\ntest('a', { retry: 2 }, () => {})`],
    [
      'no-restricted-syntax',
      'test/virtual.test.mjs',
      `import { describe } from 'vitest'\ndescribe.skip('a', () => {})`,
    ],
    ['eqeqeq', adapter, `export const a = (b: unknown) => b == null`],
    ['@typescript-eslint/no-explicit-any', adapter, `export const a = (b: any) => b as string`],
    ['@typescript-eslint/consistent-type-imports', adapter, `import { A } from './a.js'\nexport type B = A`],
  ]
  test.each(refused)('%s refuses in %s: %s', async (rule, file, code) => {
    expect(await rulesBrokenBy(untyped, file, code)).toContain(rule)
  })

  const allowed = [
    [runtime, `export const a = async () => { await Promise.resolve() }`],
    [adapter, `export function a() { let b = 1; b += 1; return b }`],
    [adapterTest, `import { test } from 'vitest'\nlet a = 1\ntest('a', () => { a += 1 })`],
    [engine, `export class A { readonly #b = new Map<string, number>(); get b() { return this.#b.size } }`],
  ]
  test.each(allowed)('allowed in %s: %s', async (file, code) => {
    expect(await rulesBrokenBy(untyped, file, code)).toEqual([])
  })
})

describe('rules that know types', () => {
  // Typed rules need a file of a TypeScript project; its text is replaced by the snippet's.
  const file = 'packages/snapshot-fs/src/index.ts'
  const refused = [
    ['no-floating-promises', `const a = async () => {}\nexport const b = () => { a() }`],
    ['no-misused-promises', `const a = async () => true\nexport const b = () => { if (a()) return 1; return 2 }`],
    ['no-misused-promises', `export const a = (b: number[]) => b.forEach(async () => {})`],
    ['await-thenable', `export const a = async () => { await 1 }`],
    [
      'switch-exhaustiveness-check',
      `export const a = (b: 'x' | 'y') => { switch (b) { case 'x': return 1 } return 2 }`,
    ],
    ['return-await', `const a = async () => 1\nexport const b = async () => { try { return a() } catch { return 2 } }`],
    ['no-unsafe-return', `export const a = (b: string): number => JSON.parse(b)`],
    ['restrict-template-expressions', 'export const a = (b: object) => `${b}`'],
  ]
  test.each(refused)('%s refuses: %s', async (rule, code) => {
    expect(await rulesBrokenBy(typed, file, code)).toContain(`@typescript-eslint/${rule}`)
  })

  const allowed = [
    `const a = async () => {}\nexport const b = async () => { await a() }`,
    `export const a = (b: 'x' | 'y') => { switch (b) { case 'x': return 1; case 'y': return 2 } }`,
    `export const a = (b: AbortSignal) => { b.throwIfAborted(); throw b.reason }`,
    `export const a = (b: unknown) => { if (b !== undefined) throw b }`,
    'export const a = (b: bigint, c: number, d: boolean) => `${b} ${c} ${d}`',
  ]
  test.each(allowed)('allowed: %s', async (code) => {
    expect(await rulesBrokenBy(typed, file, code)).toEqual([])
  })
})
