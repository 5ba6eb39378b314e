/** When `npm test` and the others install the dependencies, and when they leave them alone. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lockfileProblems } from '../scripts/check-lockfile.mjs'
import { reasonToInstall } from '../scripts/lib/install.mjs'

describe('dependencies are installed', () => {
  let folder
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kagami-tooling-'))
    mkdirSync(join(folder, 'node_modules/own'), { recursive: true })
    mkdirSync(join(folder, 'packages/own'), { recursive: true })
  })
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  const locked = {
    '': { name: 'root' },
    'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' },
    'node_modules/for-windows': { version: '1.0.0', integrity: 'sha512-w', optional: true },
    'node_modules/own': { resolved: 'packages/own', link: true },
    'packages/own': { version: '0.0.0' },
  }
  const { '': _, 'node_modules/for-windows': __, ...installed } = locked

  function reason(wanted, found) {
    writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: wanted }))
    if (found) writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages: found }))
    return reasonToInstall(folder)
  }

  test('not when they are what the lock file says, though those of other platforms are absent', () => {
    expect(reason(locked, installed)).toBeUndefined()
  })

  test('when nothing is there, or an installation was cut short', () => {
    expect(reason(locked, undefined)).toMatch(/nothing is installed/)
  })

  test('when a package is missing, older, or of another build', () => {
    const { 'node_modules/a': ___, ...without } = installed
    expect(reason(locked, without)).toMatch(/node_modules\/a is missing/)
    const older = { ...installed, 'node_modules/a': { version: '0.9.0', integrity: 'sha512-a' } }
    expect(reason(locked, older)).toMatch(/is 0\.9\.0, and should be 1\.0\.0/)
    const other = { ...installed, 'node_modules/a': { version: '1.0.0', integrity: 'sha512-b' } }
    expect(reason(locked, other)).toMatch(/another build/)
  })

  test('when a package of the workspace is new, or its link is gone', () => {
    const more = { ...locked, 'packages/new': { version: '0.0.0' } }
    expect(reason(more, installed)).toMatch(/packages\/new is missing/)
    rmSync(join(folder, 'node_modules/own'), { recursive: true })
    expect(reason(locked, installed)).toMatch(/node_modules\/own is not linked/)
  })
})

describe('the lock file is refused', () => {
  const manifest = { dependencies: { a: '1.0.0' } }
  const lock = (packages) => ({ packages: { '': manifest, ...packages } })
  const a = { version: '1.0.0', integrity: 'sha512-a' }

  test('not when it names no host and holds everything', () => {
    expect(lockfileProblems(lock({ 'node_modules/a': a }), { '': manifest })).toEqual([])
    const linked = { 'node_modules/own': { resolved: 'packages/own', link: true } }
    expect(lockfileProblems(lock({ 'node_modules/a': a, ...linked }), { '': manifest })).toEqual([])
  })

  test('when it names a registry host', () => {
    const resolved = { 'node_modules/a': { ...a, resolved: 'https://registry.example/a/-/a-1.0.0.tgz' } }
    expect(lockfileProblems(lock(resolved), { '': manifest }).join()).toMatch(/names a host/)
  })

  test('when a package has no integrity', () => {
    expect(lockfileProblems(lock({ 'node_modules/a': { version: '1.0.0' } }), { '': manifest }).join()).toMatch(
      /no integrity/,
    )
  })

  test('when a platform build is missing, which npm ci refuses as well', () => {
    const needing = { ...a, optionalDependencies: { 'a-darwin': '1.0.0' } }
    expect(lockfileProblems(lock({ 'node_modules/a': needing }), { '': manifest }).join()).toMatch(/may need a-darwin/)
    const held = { 'node_modules/a': needing, 'node_modules/a/node_modules/a-darwin': { ...a, optional: true } }
    expect(lockfileProblems(lock(held), { '': manifest })).toEqual([])
  })

  test('when a manifest asks for something else', () => {
    const newer = { '': { dependencies: { a: '1.0.1' } } }
    expect(lockfileProblems(lock({ 'node_modules/a': a }), newer).join()).toMatch(
      /dependencies are not those of the lock file/,
    )
  })
})
