/** What `npm run check:packages` finds wrong with a package, and which snippets it takes from a README. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { readJson, root, shown, workspaces } from '../scripts/lib/repository.mjs'
import { commandProblems } from '../scripts/packages/commands.mjs'
import { manifestProblems, packedProblems } from '../scripts/packages/manifest.mjs'
import { checkSnippets, findSnippets } from '../scripts/packages/snippets.mjs'

let folder
beforeEach(() => {
  // Below the root: a package says where in the repository it lies, and a snippet's packages are found from there.
  mkdirSync(join(root, 'node_modules/.cache'), { recursive: true })
  folder = mkdtempSync(join(root, 'node_modules/.cache/tooling-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

describe('a package is refused', () => {
  function problems(change = {}, files = {}) {
    const manifest = {
      name: '@kagami/made-up',
      description: 'Made up',
      license: 'Apache-2.0',
      type: 'module',
      sideEffects: false,
      repository: { directory: shown(folder) },
      engines: readJson(join(root, 'package.json')).engines,
      files: ['dist'],
      exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' }, './package.json': './package.json' },
      publishConfig: { access: 'public' },
      ...change,
    }
    const all = {
      'README.md': '# Made up',
      LICENSE: readFileSync(join(root, 'LICENSE'), 'utf8'),
      'src/index.ts': '',
      'dist/index.js': '',
      'dist/index.d.ts': '',
      ...files,
    }
    for (const [name, text] of Object.entries(all)) {
      if (text === undefined) continue
      mkdirSync(join(folder, name, '..'), { recursive: true })
      writeFileSync(join(folder, name), text)
    }
    return manifestProblems({ name: manifest.name, folder, manifest }).join('\n')
  }

  test('not when it has everything', () => {
    expect(problems()).toBe('')
  })

  test.each([
    [{ sideEffects: undefined }, /sideEffects must be false/],
    [{ engines: { node: '>=18' } }, /engines\.node/],
    [{ repository: { directory: 'packages/other' } }, /repository\.directory/],
    [{ publishConfig: undefined }, /publishConfig/],
    [{ license: 'MIT' }, /license/],
    [{ files: ['lib'] }, /files must hold/],
    [{ dependencies: { '@kagami/core': '*' } }, /must have a version/],
    [
      {
        exports: {
          '.': { default: './dist/index.js', types: './dist/index.d.ts' },
          './package.json': './package.json',
        },
      },
      /types first/,
    ],
    [{ exports: { '.': { types: './dist/index.d.ts', default: './dist/index.js' } } }, /"\.\/package\.json"/],
    [
      {
        exports: {
          '.': { types: './dist/other.d.ts', default: './dist/index.js' },
          './package.json': './package.json',
        },
      },
      /does not make/,
    ],
  ])('for its manifest: %j', (change, message) => {
    expect(problems(change)).toMatch(message)
  })

  test('for a README or a LICENSE that is missing, or another licence', () => {
    expect(problems({}, { 'README.md': undefined })).toMatch(/README\.md is missing/)
    expect(problems({}, { LICENSE: 'Do as you like.' })).toMatch(/must be a copy of the root's/)
  })

  test('for a built file whose source is gone', () => {
    expect(problems({}, { 'dist/old/gone.js': '' })).toMatch(/dist\/old\/gone\.js has no source/)
  })

  test('for what its tarball lacks, or should not hold', () => {
    const needed = ['package.json', 'README.md', 'LICENSE', 'dist/index.js']
    expect(packedProblems('a', needed)).toEqual([])
    expect(packedProblems('a', needed.slice(1)).join()).toMatch(/lacks package\.json/)
    expect(packedProblems('a', [...needed, 'dist/.tsbuildinfo']).join()).toMatch(/holds dist\/\.tsbuildinfo/)
    expect(packedProblems('a', [...needed, 'test/a.test.ts']).join()).toMatch(/holds test\/a\.test\.ts/)
  })
})

describe('the snippets of a README', () => {
  const readme = [
    '# Title',
    '```ts',
    '// runnable',
    "import { writeFileSync } from 'node:fs'",
    "writeFileSync('made-by-the-snippet', 'x')",
    '```',
    '```ts',
    'export const checked: number = 1',
    '```',
    '```js',
    '// runnable',
    "import { writeFileSync } from 'node:fs'",
    'const text = 1',
    "writeFileSync('made-by-the-other', String(text))",
    '```',
    '```sh',
    'npm install kagami',
    '```',
    '````md',
    '```ts',
    'not ours',
    '```',
    '````',
  ].join('\n')

  async function check(text) {
    const path = join(folder, 'README.md')
    writeFileSync(path, text)
    return checkSnippets(folder, [path, join(folder, 'missing.md')])
  }

  test('are told apart by their language and their first line, and by nothing else', () => {
    expect(findSnippets(readme).map(({ runnable, extension, line }) => [runnable, extension, line])).toEqual([
      [true, 'ts', 3],
      [false, 'ts', 8],
      [true, 'js', 11],
    ])
  })

  test('are all compiled, and run where they say so', async () => {
    const { counts, problems } = await check(readme)
    expect(problems).toEqual([])
    expect(counts).toEqual({ compiled: 3, run: 2 })
    expect(readFileSync(join(folder, 'run-snippet-1/made-by-the-snippet'), 'utf8')).toBe('x')
    expect(readFileSync(join(folder, 'run-snippet-3/made-by-the-other'), 'utf8')).toBe('1')
  })

  test.each([
    ['TypeScript', 'number = 1', "number = '1'", /README\.md\(8,14\): error TS2322/],
    ['JavaScript', 'String(text)', 'text', /README\.md\(14,36\): error TS2345/],
  ])('fail by their place in the README when the types of %s are wrong', async (_language, right, wrong, message) => {
    const { problems } = await check(readme.replace(right, wrong))
    expect(problems.join()).toMatch(message)
  })

  test('fail when they end with an error', async () => {
    const { problems } = await check("\n```ts\n// runnable\nthrow new Error('it does not work')\n```\n")
    expect(problems.join()).toMatch(/README\.md:3: the snippet ended with code 1[^]*it does not work/)
  })
})

test('every package of the repository carries the licence of the repository', () => {
  const license = readFileSync(join(root, 'LICENSE'), 'utf8')
  const published = workspaces().filter(({ manifest }) => manifest.private !== true)
  expect(published.length).toBeGreaterThan(0)
  for (const { folder: at } of published) expect(readFileSync(join(at, 'LICENSE'), 'utf8')).toBe(license)
})

describe('a command of a package', () => {
  /** A package of version 1.2.3 that is installed, with a command that does as `script` does. */
  async function problems(script) {
    writeFileSync(join(folder, 'package.json'), '{}')
    mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true })
    const path = join(folder, 'node_modules/.bin/made-up')
    if (script !== undefined) writeFileSync(path, `#!/usr/bin/env node\n${script}`, { mode: 0o755 })
    const manifest = { name: 'made-up-package', version: '1.2.3', bin: { 'made-up': './main.js' } }
    return commandProblems(folder, [{ name: manifest.name, manifest }])
  }
  const right = "console.log(process.argv[2] === '--version' ? '1.2.3' : 'usage: made-up COMMAND')"

  test('is fine when it tells its version and its help', async () => {
    expect(await problems(right)).toEqual([])
  })

  test('is run by an npm that tells nothing of its own', async () => {
    const quiet = "if (process.env.npm_config_update_notifier !== 'false') console.log('npm notice')"
    expect(await problems(`${quiet}\n${right}`)).toEqual([])
  })

  test.each([
    ['is not installed', undefined, ['--version', 'help']],
    ['tells another version', right.replace('1.2.3', '1.2.4'), ['--version']],
    ['ends with an error', `${right}; process.exitCode = process.argv[2] === 'help' ? 1 : 0`, ['help']],
  ])('is told when it %s', async (_, script, asked) => {
    expect((await problems(script)).map((problem) => /npx made-up (\S+) ended/.exec(problem)?.[1])).toEqual(asked)
  })
})
