/** A user's project in an empty folder: installs tarballs there, and tells what came with them. */
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { run } from '../lib/child.mjs'
import { npm } from '../lib/install.mjs'
import { root } from '../lib/repository.mjs'

/**
 * Installs `names` into the new folder `folder`. `tarballs` maps every package of the project to its tarball: the ones
 * that are not named are used where one that is named depends on them, as the registry would be.
 */
export async function installInto(folder, names, tarballs) {
  mkdirSync(folder, { recursive: true })
  const spec = (name) => `file:${tarballs.get(name)}`
  const overrides = [...tarballs.keys()].map((name) => [name, names.includes(name) ? `$${name}` : spec(name)])
  const manifest = {
    name: 'consumer',
    private: true,
    type: 'module',
    dependencies: Object.fromEntries(names.map((name) => [name, spec(name)])),
    overrides: Object.fromEntries(overrides),
  }
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest, undefined, 2))
  const args = ['install', '--no-audit', '--no-fund', '--no-package-lock', '--prefer-offline', '--loglevel=error']
  const { code, text } = await npm(args, { cwd: folder, output: 'keep' })
  if (code !== 0) throw new Error(`npm install of ${names.join(', ')} failed:\n${text}`)
}

/** The names of everything below node_modules, at any depth, sorted. */
export function installedNames(folder) {
  const names = new Set()
  const visit = (modules) => {
    if (!existsSync(modules)) return
    for (const entry of readdirSync(modules)) {
      if (entry.startsWith('.')) continue
      const inner = entry.startsWith('@')
        ? readdirSync(join(modules, entry)).map((name) => `${entry}/${name}`)
        : [entry]
      for (const name of inner) {
        names.add(name)
        visit(join(modules, name, 'node_modules'))
      }
    }
  }
  visit(join(folder, 'node_modules'))
  return [...names].sort()
}

/** Makes a package of the repository's own available, for a snippet that shows it beside Kagami. */
export function borrow(folder, name) {
  const target = join(folder, 'node_modules', name)
  const source = join(root, 'node_modules', name)
  if (existsSync(target) || !existsSync(source)) return existsSync(target)
  mkdirSync(dirname(target), { recursive: true })
  symlinkSync(source, target, 'junction')
  return true
}

/** Strict. With `outDir` the compiler checks JavaScript, too, and writes it; without it, it also checks the installed declarations themselves. */
export function writeTsconfig(folder, include, outDir) {
  const compilerOptions = {
    target: 'ES2022',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'nodenext',
    moduleResolution: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    skipLibCheck: outDir !== undefined,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
    rootDir: '.',
    ...(outDir === undefined ? { noEmit: true } : { outDir, noEmitOnError: true, allowJs: true, checkJs: true }),
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include }, undefined, 2))
}

/** Runs a program of Node in the folder: `{ code, text }`. */
export function node(folder, args) {
  return run(process.execPath, args, {
    cwd: folder,
    output: 'keep',
    env: { ...process.env, NODE_NO_WARNINGS: '1', NODE_OPTIONS: '' },
  })
}

export function compile(folder) {
  return node(folder, [
    join(root, 'node_modules', 'typescript', 'bin', 'tsc'),
    '-p',
    'tsconfig.json',
    '--pretty',
    'false',
  ])
}
