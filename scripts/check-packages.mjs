/**
 * `npm run check:packages`: packs every public package, checks the tarballs, and uses them as a stranger would. Works
 * in one temporary folder, which is removed whatever happens, and changes nothing in the repository.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Interrupted, run } from './lib/child.mjs'
import { npm } from './lib/install.mjs'
import { root, workspaces } from './lib/repository.mjs'
import { table } from './lib/say.mjs'
import { commandProblems } from './packages/commands.mjs'
import { installInto, installedNames } from './packages/consumer.mjs'
import { entryPointProblems } from './packages/entry-points.mjs'
import { manifestProblems, packedProblems, publicPackages } from './packages/manifest.mjs'
import { checkSnippets } from './packages/snippets.mjs'

/** What a user may choose who wants neither the embedded log nor a server's client. */
const chosen = ['@kagami/core', '@kagami/placement-even', '@kagami/snapshot-fs']
/** Clients that belong to one adapter each. Those that the manifests name are added. */
const clients = [
  'lmdb',
  'ioredis',
  'kafkajs',
  '@platformatic/kafka',
  'zookeeper',
  'node-zookeeper-client',
  '@aws-sdk/client-s3',
]

const problems = []

function mark(found) {
  problems.push(...found)
  return found.length === 0 ? 'ok' : 'FAILED'
}

async function tool(path, args) {
  const { code, text } = await run(process.execPath, [join(root, 'node_modules', path), ...args], {
    cwd: root,
    output: 'keep',
  })
  return code === 0 ? [] : [`${path} ${args.join(' ')}:\n${text}`]
}

/** Packs all packages into `folder`, and checks each tarball by itself. Resolves with name → tarball. */
async function pack(packages, folder) {
  const tarballs = new Map()
  const rows = [['package', 'files', 'kB', 'manifest', 'contents', 'publint', 'attw']]
  for (const each of packages) {
    const manifest = mark(manifestProblems(each))
    const { code, text } = await npm(
      ['pack', '--json', '--ignore-scripts', '--loglevel=silent', `--pack-destination=${folder}`],
      { cwd: each.folder, output: 'keep' },
    )
    if (code !== 0) throw new Error(`npm pack of ${each.name} failed:\n${text}`)
    const packed = Object.values(JSON.parse(text))[0]
    const tarball = join(folder, packed.filename)
    tarballs.set(each.name, tarball)
    const files = packed.files.map(({ path }) => path)
    const contents = mark(packedProblems(each.name, files))
    const publint = mark(await tool('publint/src/cli.js', ['run', tarball, '--strict']))
    const attw = mark(
      await tool('@arethetypeswrong/cli/dist/index.js', [tarball, '--profile', 'esm-only', '--no-emoji', '--no-color']),
    )
    rows.push([each.name, files.length, Math.ceil(packed.size / 1000), manifest, contents, publint, attw])
  }
  console.log(`${table(rows)}\n`)
  return tarballs
}

/** Installs `names` alone, and checks that nothing but their own dependencies came along. */
async function installAlone(title, names, packages, tarballs, folder) {
  await installInto(folder, names, tarballs)
  const installed = installedNames(folder)
  const wanted = closure(names, packages)
  const foreign = foreignClients(wanted, packages)
  const found = [
    ...installed.filter((name) => tarballs.has(name) && !wanted.has(name)),
    ...foreign.filter((name) => installed.includes(name)),
  ].map((name) => `${title}: ${name} came along, and belongs to none of ${names.join(', ')}`)
  const missing = [...wanted].filter((name) => !installed.includes(name)).map((name) => `${title}: ${name} is missing`)
  const own = packages.filter(({ name }) => wanted.has(name))
  const entries = own.flatMap((each) => each.entries)
  const tried = await entryPointProblems(folder, entries)
  const commands = own.flatMap(({ manifest }) => Object.keys(manifest.bin ?? {}))
  const run = await commandProblems(folder, own)
  return [
    title,
    installed.length,
    mark([...found, ...missing]),
    entries.length,
    mark(tried),
    commands.length === 0 ? '' : `${commands.join(', ')} ${mark(run)}`,
    `without ${foreign.join(', ')}`,
  ]
}

/** The packages of the project that `names` need, themselves included. */
function closure(names, packages) {
  const wanted = new Set()
  const visit = (name) => {
    const each = packages.find((candidate) => candidate.name === name)
    if (each === undefined || wanted.has(name)) return
    wanted.add(name)
    for (const dependency of Object.keys(each.manifest.dependencies ?? {})) visit(dependency)
  }
  for (const name of names) visit(name)
  return wanted
}

/** The clients that no adapter of `wanted` uses. Core has none of its own: one among its dependencies is foreign, too. */
function foreignClients(wanted, packages) {
  const own = new Set(packages.map(({ name }) => name))
  const needed = new Set(
    packages
      .filter(({ name }) => wanted.has(name) && name !== '@kagami/core')
      .flatMap(({ manifest }) => Object.keys(manifest.dependencies ?? {})),
  )
  const all = new Set([...clients, ...packages.flatMap(({ manifest }) => Object.keys(manifest.dependencies ?? {}))])
  return [...all].filter((name) => !needed.has(name) && !own.has(name)).sort()
}

async function check(folder) {
  const packages = publicPackages(workspaces())
  const tarballs = await pack(packages, folder)
  const names = packages.map(({ name }) => name)
  const rows = [['installed', 'packages', 'only its own', 'entry points', 'import, require, types', 'commands', '']]
  rows.push(await installAlone('core + chosen', chosen, packages, tarballs, join(folder, 'chosen')))
  rows.push(await installAlone('kagami', ['kagami'], packages, tarballs, join(folder, 'kagami')))
  const everything = join(folder, 'everything')
  rows.push(await installAlone('everything', names, packages, tarballs, everything))
  for (const row of rows.slice(1)) if (row[6] === 'without ') row[6] = ''
  console.log(`${table(rows)}\n`)

  const readme = join(root, 'README.md')
  const snippets = await checkSnippets(everything, [readme, ...packages.map((each) => join(each.folder, 'README.md'))])
  const { compiled, run: ran } = snippets.counts
  if (existsSync(readme) && compiled === 0) snippets.problems.push('The READMEs hold no snippet.')
  if (existsSync(readme) && ran === 0) snippets.problems.push('No snippet of the READMEs is marked `// runnable`.')
  const result = mark(snippets.problems)
  console.log(
    `${table([
      ['README snippets compiled', 'run', 'result'],
      [compiled, ran, result],
    ])}`,
  )
  if (snippets.borrowed.length > 0)
    console.log(`(shown beside Kagami, and taken from the repository: ${snippets.borrowed.join(', ')})`)
}

const folder = mkdtempSync(join(tmpdir(), 'kagami-packages-'))
try {
  await check(folder)
} catch (error) {
  if (error instanceof Interrupted) process.exitCode = error.exitCode
  problems.push(error.message)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
if (problems.length > 0) console.log(`\n${[...new Set(problems)].map((problem) => `- ${problem.trim()}`).join('\n')}`)
console.log(
  `\n${problems.length === 0 ? 'All packages are fit to be published.' : `${new Set(problems).size} problem(s), see above.`}`,
)
process.exitCode ??= problems.length === 0 ? 0 : 1
