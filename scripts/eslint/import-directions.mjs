/**
 * The ESLint rule that holds the directions of imports: contract ← engine ← runtime inside of core, contract ← adapters,
 * testkit ← simulator, and `kagami` above all. It knows files by their paths alone and reads no other source file.
 */
import { existsSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, posix, relative, sep } from 'node:path'

/** Inside of core: what each room may import from the other rooms, and of Node. */
const rooms = {
  contract: { rooms: ['contract'], node: false },
  state: { rooms: ['contract', 'state'], node: true },
  engine: { rooms: ['contract', 'engine'], node: true },
  runtime: { rooms: ['contract', 'engine', 'state', 'runtime'], node: true },
  door: { rooms: ['contract', 'engine', 'state', 'runtime', 'door'], node: false },
}

/** What the sources of a package may import of the project. A package that is not listed is an adapter. */
const adapter = ['@kagami/core/contract']
const packages = {
  testkit: adapter,
  simulator: ['@kagami/core', '@kagami/testkit'],
  kagami: 'everything',
}

export const importDirections = {
  meta: {
    type: 'problem',
    docs: { description: 'Imports run one way: contract ← engine ← runtime; adapters know the contract alone.' },
    schema: [
      { type: 'object', properties: { root: { type: 'string' } }, required: ['root'], additionalProperties: false },
    ],
    messages: {
      room: '{{from}} must not import {{to}}. It may import: {{allowed}}.',
      core: 'core imports nothing but itself and Node; a vendor belongs into an adapter ("{{source}}").',
      contract: 'contract imports nothing outside of contract ("{{source}}").',
      dynamic: 'An import in core must name its module with a plain string, so that its direction can be checked.',
      project: '{{from}} must not import "{{source}}". Of the project it may import: {{allowed}}.',
      self: 'Import a file of your own package by its relative path, not by "{{source}}".',
      deep: '"{{source}}" reaches into another package. Import one of its entry points.',
      outside: '"{{source}}" leaves the package. Import the other package by its name.',
      undeclared: '"{{source}}" is not among the dependencies of {{manifest}}.',
    },
  },
  create(context) {
    const root = context.options[0].root
    const file = relative(root, context.filename).split(sep).join('/')
    const place = locate(file)
    if (place === undefined) return {}

    const check = (node, typesOnly) => {
      if (node === null || node === undefined) return
      const source = literal(node)
      if (source === undefined) {
        if (place.workspace === 'packages/core' && place.src) context.report({ node, messageId: 'dynamic' })
        return
      }
      const problem = judge(root, file, place, source, typesOnly)
      if (problem !== undefined) context.report({ node, ...problem })
    }
    return {
      ImportDeclaration: (node) => check(node.source, node.importKind === 'type'),
      ExportNamedDeclaration: (node) => check(node.source, node.exportKind === 'type'),
      ExportAllDeclaration: (node) => check(node.source, node.exportKind === 'type'),
      ImportExpression: (node) => check(node.source, false),
      TSImportType: (node) => check(node.source ?? node.argument, true),
      TSExternalModuleReference: (node) => check(node.expression, false),
      CallExpression(node) {
        if (node.callee.type === 'Identifier' && node.callee.name === 'require') check(node.arguments[0], false)
      },
    }
  },
}

/** Undefined: the file belongs to no workspace's sources or tests, as a config does. */
function locate(file) {
  const match = /^((?:packages|examples)\/[^/]+|benchmarks)\/(.+)$/.exec(file)
  // A vitest.config.mjs takes the shared settings from the root, as all of them do.
  if (match === null || match[2] === 'vitest.config.mjs') return undefined
  const [, workspace, inner] = match
  const src = inner.startsWith('src/') && workspace.startsWith('packages/')
  if (!src && workspace.startsWith('packages/') && !inner.startsWith('test/')) return undefined
  return { workspace, inner, src }
}

function judge(root, file, place, source, typesOnly) {
  if (source.startsWith('.')) return judgeRelative(file, place, source)
  if (isBuiltin(source)) {
    if (place.workspace === 'packages/core' && place.src && !rooms[roomOf(place.inner)].node) {
      return { messageId: 'contract', data: { source } }
    }
    return undefined
  }
  const name = source.split('/', source.startsWith('@') ? 2 : 1).join('/')
  const ofProject = name === 'kagami' || name.startsWith('@kagami/')
  if (ofProject && /^(dist|src|test)(\/|$)/.test(source.slice(name.length + 1)))
    return { messageId: 'deep', data: { source } }
  if (place.src) {
    if (place.workspace === 'packages/core') return { messageId: 'core', data: { source } }
    if (ofProject) {
      const problem = judgeProject(place, source, name)
      if (problem !== undefined) return problem
    }
  }
  return judgeDeclaration(root, place, source, name, ofProject, typesOnly)
}

function judgeRelative(file, place, source) {
  const target = posix.join(posix.dirname(file), source)
  if (!target.startsWith(`${place.workspace}/`)) return { messageId: 'outside', data: { source } }
  if (place.src && !target.startsWith(`${place.workspace}/src/`)) return { messageId: 'outside', data: { source } }
  if (place.workspace !== 'packages/core' || !place.src) return undefined
  const from = roomOf(place.inner)
  const to = roomOf(target.slice(place.workspace.length + 1))
  if (rooms[from].rooms.includes(to)) return undefined
  return { messageId: 'room', data: { from, to, allowed: rooms[from].rooms.join(', ') } }
}

/** The room of a file of core, from its path below the package: the folder under src, or the door. */
function roomOf(inner) {
  const folder = /^src\/([^/]+)\//.exec(inner)?.[1]
  return folder !== undefined && Object.hasOwn(rooms, folder) ? folder : 'door'
}

function judgeProject(place, source, name) {
  const own = place.workspace.slice('packages/'.length)
  if (name === own || name === `@kagami/${own}`) return { messageId: 'self', data: { source } }
  const allowed = Object.hasOwn(packages, own) ? packages[own] : adapter
  // An entry names itself and what lies below it: '@kagami/core' stands for each of its entry points.
  if (allowed === 'everything' || allowed.some((entry) => source === entry || source.startsWith(`${entry}/`)))
    return undefined
  return { messageId: 'project', data: { from: own, source, allowed: allowed.join(', ') } }
}

/** Hoisting makes undeclared packages work here and fail at the user's. */
function judgeDeclaration(root, place, source, name, ofProject, typesOnly) {
  // Tests use the project's packages freely: core's use testkit, which depends on core, so declaring it would be a cycle.
  if (ofProject && !place.src) return undefined
  const manifest = `${place.workspace}/package.json`
  const own = readManifest(join(root, manifest))
  if (own === undefined) return undefined
  const known = { ...own.dependencies, ...own.peerDependencies, ...own.optionalDependencies }
  const inProduct = place.src && !typesOnly
  if (!inProduct) Object.assign(known, own.devDependencies, readManifest(join(root, 'package.json'))?.devDependencies)
  if (Object.hasOwn(known, name)) return undefined
  return { messageId: 'undeclared', data: { source, manifest } }
}

function readManifest(path) {
  return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined
}

function literal(node) {
  if (node.type === 'TSLiteralType') return literal(node.literal)
  if (node.type === 'Literal' && typeof node.value === 'string') return node.value
  if (node.type === 'TemplateLiteral' && node.expressions.length === 0) return node.quasis[0].value.cooked
  return undefined
}
