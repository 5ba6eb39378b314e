/** Lints snippets under the paths of real and of imagined files: each rule of the house reports what it must, and no more. */
import { builtinModules } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ESLint } from 'eslint'
import tseslint from 'typescript-eslint'
import { describe, expect, test } from 'vitest'
import { globals, modules, refusedProperties } from '../scripts/eslint/seams.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const untyped = new ESLint({
  cwd: root,
  // Imagined files belong to no TypeScript project.
  overrideConfig: [{ files: ['**/*.{ts,mts,cts,tsx}'], ...tseslint.configs.disableTypeChecked }],
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

/** The lines on which a rule reports something, in order. */
async function linesRefused(file, code, rule) {
  const [result] = await untyped.lintText(code, { filePath: join(root, file) })
  const reported = result.messages.filter(({ ruleId }) => ruleId === rule)
  return [...new Set(reported.map(({ line }) => line))].sort((a, b) => a - b)
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
  // What must never be allowed, whatever the rule's own lists say.
  const refused = [
    ...[
      ...['Date.now()', 'new Date()', 'Date()', 'performance.now()', 'new EventSource("http://localhost")'],
      ...['setTimeout(() => {}, 1)', 'setInterval(() => {}, 1)', 'setImmediate(() => {})', 'Temporal.Now.instant()'],
      ...['clearTimeout(1)', 'clearInterval(1)', 'clearImmediate(1)'],
      ...['new Intl.DateTimeFormat().format()', 'Intl.DateTimeFormat().resolvedOptions().timeZone'],
      ...['crypto.randomUUID()', 'crypto.getRandomValues(new Uint8Array(8))', 'new Crypto()', 'new SubtleCrypto()'],
      ...[
        'crypto.subtle.digest("SHA-256", new Uint8Array(8))',
        'new WeakRef({})',
        'new FinalizationRegistry(() => {})',
      ],
      ...['console.log("a")', 'fetch("http://localhost")', 'new WebSocket("ws://localhost")'],
      ...['new MessageChannel()', 'new MessagePort()', 'new BroadcastChannel("a")'],
      ...['new CompressionStream("gzip")', 'new DecompressionStream("gzip")', 'WebAssembly.compile(new Uint8Array())'],
      ...['navigator.hardwareConcurrency', 'Atomics.wait(new Int32Array(1), 0, 0)', 'Atomics.waitAsync(b, 0, 0)'],
      ...['process.hrtime.bigint()', 'process.nextTick(() => {})', 'process.getBuiltinModule("node:timers")'],
      ...['globalThis.Date.now()', 'globalThis.Math.random()', 'globalThis["setTimeout"](() => {}, 1)'],
      ...['global.setTimeout(() => {}, 1)', 'require("node:timers")', 'module.require("node:timers")'],
      ...['eval("Date.now()")', '(0, eval)("Date.now()")', 'new Function("return Date.now()")()', 'Function("")()'],
    ].map((expression) => ['kagami/core-globals', `export const a = () => ${expression}`]),
    ['kagami/core-globals', `export const a = (b = setTimeout) => b`],
    ['kagami/core-globals', `const later = setTimeout\nexport const a = later`],
    ['kagami/core-globals', `const { now } = Date\nexport const a = now`],
    ['kagami/core-globals', `export const a = () => Math.random()`],
    ['kagami/core-globals', `export const a = () => Math?.random()`],
    ['kagami/core-globals', `export const a = () => Math['random']()`],
    ['kagami/core-globals', 'export const a = () => Math[`random`]()'],
    ['kagami/core-globals', `export const a = (b: 'random') => Math[b]()`],
    ['kagami/core-globals', `const { random } = Math\nexport const a = random`],
    ['kagami/core-globals', `const { floor, ...rest } = Math\nexport const a = [floor, rest]`],
    ['kagami/core-globals', `const M = Math\nexport const a = () => M.random()`],
    ['kagami/core-globals', `export const a = (M = Math) => M.random()`],
    ['kagami/core-globals', `export const a = () => (Math as { random(): number }).random()`],
    ['kagami/core-globals', `export const a = () => Reflect.get(Math, 'random')()`],
    ['kagami/core-globals', `export const a = () => AbortSignal.timeout(1)`],
    ['kagami/core-globals', `const { timeout } = AbortSignal\nexport const a = timeout`],
    ['kagami/core-globals', `export const a = () => (() => 1).constructor('return Date.now()')()`],
    ['kagami/core-globals', `export const a = () => (() => 1)['constructor']('return Date.now()')()`],
    ['kagami/core-globals', `const { constructor: F } = () => 1\nexport const a = F`],
    ...[
      ...['timers', 'timers/promises', 'fs', 'fs/promises', 'dns', 'dns/promises', 'perf_hooks', 'worker_threads'],
      ...['process', 'console', 'child_process', 'net', 'http', 'os', 'module', 'vm', 'stream', 'readline'],
    ].flatMap((name) => [
      ['kagami/core-modules', `import { a } from 'node:${name}'`],
      ['kagami/core-modules', `import { a } from '${name}'`],
    ]),
    ...[
      ...['randomBytes', 'randomInt', 'randomUUID', 'randomFill', 'randomFillSync', 'getRandomValues', 'webcrypto'],
      ...['pbkdf2', 'scrypt', 'hkdf', 'generateKeyPair', 'generateKey', 'sign', 'verify', 'checkPrime', 'createHmac'],
    ].map((name) => ['kagami/core-modules', `import { ${name} } from 'node:crypto'`]),
    ...['gzip', 'gunzip', 'deflate', 'inflate', 'brotliCompress', 'createGzip'].map((name) => [
      'kagami/core-modules',
      `import { ${name} } from 'node:zlib'`,
    ]),
    ['kagami/core-modules', `import { debuglog } from 'node:util'`],
    ['kagami/core-modules', `import { crc32, gzip } from 'node:zlib'`],
    ['kagami/core-modules', `import zlib from 'node:zlib'`],
    ['kagami/core-modules', `import * as zlib from 'node:zlib'`],
    ['kagami/core-modules', `import zlib = require('node:zlib')`],
    ['kagami/core-modules', `import { randomBytes as hash } from 'node:crypto'`],
    ['kagami/core-modules', `import 'node:fs'`],
    ['kagami/core-modules', `export { gzip } from 'node:zlib'`],
    ['kagami/core-modules', `export * from 'node:zlib'`],
    ['kagami/core-modules', `export const a = () => import('node:zlib')`],
    ['kagami/core-modules', `export const a = () => import('node:timers')`],
    ['kagami/core-modules', 'export const a = () => import(`node:timers`)'],
    ['kagami/import-directions', `export const a = () => import('node:' + 'timers')`],
  ]
  test.each(refused)('%s refuses: %s', async (rule, code) => {
    for (const file of [contract, engine, runtime, state, door])
      expect(await rulesBrokenBy(untyped, file, code)).toContain(rule)
  })

  test('of the globals of this Node, whatever the rule does not list is refused', async () => {
    const names = Object.getOwnPropertyNames(globalThis).filter((name) => /^[A-Za-z_$][\w$]*$/.test(name))
    const code = `export const a = () => [\n${names.join(',\n')}\n]`
    const lines = await linesRefused(runtime, code, 'kagami/core-globals')
    const wanted = names.filter((name) => !globals.includes(name) || Object.hasOwn(refusedProperties, name))
    expect(lines.map((line) => names[line - 2])).toEqual(wanted)
    expect(wanted.length).toBeGreaterThan(50)
  })

  test('of the modules of this Node, and of their names, whatever the rule does not list is refused', async () => {
    const names = builtinModules
      .filter((name) => !name.startsWith('_'))
      .map((name) => name.replace(/^(?!node:)/, 'node:'))
    const imports = await Promise.all(
      names.map(async (name) => {
        if (modules[name] === undefined) return [`import {} from '${name}'`]
        const exported = Object.keys(await import(name)).filter((each) => !modules[name].includes(each))
        return exported.map((each, at) => `import { ${each} as b${at} } from '${name}'`)
      }),
    )
    const lines = imports.flat()
    expect(await linesRefused(runtime, lines.join('\n'), 'kagami/core-modules')).toEqual(lines.map((_, at) => at + 1))
    expect(lines.length).toBeGreaterThan(200)
  })

  const allowed = [
    ...globals
      .filter((name) => !Object.hasOwn(refusedProperties, name))
      .map((name) => `export const a = (b: unknown) => [b, ${name}]`),
    ...Object.entries(modules).map(
      ([name, allowed]) => `import { ${allowed} } from '${name}'\nexport const a = [${allowed}]`,
    ),
    `import type { Readable } from 'node:stream'\nexport type A = Readable`,
    `import { type Gzip, crc32 } from 'node:zlib'\nexport type A = Gzip\nexport const a = crc32`,
    `export const a = (clock: { now(): number }) => clock.now()`,
    `export const a = (date: Date, console: Console) => [date, console]`,
    `export const a = () => Math.floor(1.5)`,
    `export const a = () => AbortSignal.any([new AbortController().signal])`,
    `export const a = (b: unknown) => b instanceof AbortSignal`,
    `export class A { constructor() { this.b() } b() {} }`,
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

  test.each(['mts', 'cts', 'tsx'])('a file of TypeScript that ends in .%s is held to the same', async (extension) => {
    const file = engine.replace(/ts$/, extension)
    const code = `import { a } from '../runtime/a.js'\nexport const b = async () => [Date.now(), a]`
    const rules = ['kagami/core-globals', 'kagami/import-directions', 'no-restricted-syntax']
    expect(await rulesBrokenBy(untyped, file, code)).toEqual(expect.arrayContaining(rules))
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
    ...[
      ...['test.only("a", b)', 'test.skip("a", b)', 'test["skip"]("a", b)', 'test.todo("a")', 'test.fails("a", b)'],
      ...['test.skipIf(true)("a", b)', 'test.runIf(false)("a", b)', 'test.only.each([1])("a", b)'],
      ...['describe.skip("a", b)', 'describe.only("a", b)', 'test.concurrent.skip("a", b)'],
      ...['const t = test; t.skip("a", b)', 'const { skip } = test; skip("a", b)'],
      ...['test("a", { skip: true }, b)', 'test("a", { only: true }, b)', 'test("a", { todo: true }, b)'],
      ...['test("a", { fails: true }, b)', 'test("a", { retry: 2 }, b)'],
      ...['test("a", (context) => context.skip())', 'test("a", (ctx) => { if (b) ctx.skip("no") })'],
      ...['test("a", ({ skip }) => skip())', 'test("a", ({ skip: leave }) => leave())'],
    ].flatMap((call) =>
      [adapterTest, 'test/virtual.test.mjs'].map((file) => [
        'no-restricted-syntax',
        file,
        `import { describe, test } from 'vitest'\nconst b = () => {}\ndescribe('c', b)\n${call}`,
      ]),
    ),
    ['no-restricted-syntax', adapterTest, `import { skip } from 'node:test'\nskip('a', () => {})`],
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
