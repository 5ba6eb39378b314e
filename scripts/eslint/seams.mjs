/**
 * What core must not touch: everything that uses the clock, chance, the console or the thread pool. Core reaches those
 * through `contract/seams.ts`; the one file that implements the seams on the real system is excepted.
 */
import { isBuiltin } from 'node:module'

const why = 'Core has no clock, chance, console or thread pool of its own: use the seams (contract/seams.ts).'

const globals = {
  clock: ['Date', 'performance', 'setTimeout', 'setInterval', 'setImmediate', 'Temporal', 'EventSource'],
  chance: ['crypto', 'Crypto', 'SubtleCrypto', 'WeakRef', 'FinalizationRegistry'],
  console: ['console'],
  // Their callbacks come from the event loop's other phases, from sockets, or from other threads.
  elsewhere: [
    'fetch',
    'WebSocket',
    'MessageChannel',
    'MessagePort',
    'BroadcastChannel',
    'CompressionStream',
    'DecompressionStream',
    'WebAssembly',
    'navigator',
  ],
  // Each gives all of the above under another name.
  doors: ['globalThis', 'global', 'process', 'require'],
}

const properties = [
  ['Math', 'random'],
  ['AbortSignal', 'timeout'],
  ['Atomics', 'wait'],
  ['Atomics', 'waitAsync'],
  ['Intl', 'DateTimeFormat'],
]

/** Node's modules that core may import, and which of their names; '*' for all. All others are refused. */
const modules = {
  'node:zlib': ['crc32'],
  'node:crypto': ['hash', 'createHash'],
  'node:buffer': ['Buffer'],
  'node:events': ['EventEmitter', 'addAbortListener', 'setMaxListeners'],
  'node:async_hooks': ['AsyncLocalStorage', 'AsyncResource'],
  'node:assert': '*',
  'node:util': '*',
}

/** Refuses modules of Node, or names from them, that are not listed above. Types are free. */
export const coreModules = {
  meta: {
    type: 'problem',
    docs: { description: 'Core imports only what neither waits nor draws lots.' },
    schema: [],
    messages: {
      module: `"{{source}}" may not be imported in core. ${why}`,
      name: `Of "{{source}}" core may import only: {{allowed}}. ${why}`,
    },
  },
  create(context) {
    const check = (node, names) => {
      const written = node.source?.value
      const source = isBuiltin(written) && !written.startsWith('node:') ? `node:${written}` : written
      if (typeof source !== 'string' || !source.startsWith('node:')) return
      const allowed = Object.hasOwn(modules, source) ? modules[source] : undefined
      if (allowed === undefined) return context.report({ node: node.source, messageId: 'module', data: { source } })
      if (allowed === '*') return
      for (const [at, name] of names) {
        if (!allowed.includes(name))
          context.report({ node: at, messageId: 'name', data: { source, allowed: allowed.join(', ') } })
      }
    }
    return {
      ImportDeclaration(node) {
        if (node.importKind === 'type') return
        const values = node.specifiers.filter((specifier) => specifier.importKind !== 'type')
        check(node, values.length === 0 && node.specifiers.length > 0 ? [] : named(node, values))
      },
      ExportNamedDeclaration(node) {
        if (node.exportKind !== 'type')
          check(
            node,
            node.specifiers.map((specifier) => [specifier, specifier.local.name]),
          )
      },
      ExportAllDeclaration(node) {
        if (node.exportKind !== 'type') check(node, [[node, '*']])
      },
      ImportExpression: (node) => check(node, [[node, '*']]),
    }
  },
}

/** The names that an import takes: `default` and `*` count as names, and an import of nothing as `*`. */
function named(node, specifiers) {
  if (specifiers.length === 0) return [[node, '*']]
  return specifiers.map((specifier) => {
    if (specifier.type === 'ImportDefaultSpecifier') return [specifier, 'default']
    if (specifier.type === 'ImportNamespaceSpecifier') return [specifier, '*']
    return [specifier, specifier.imported.name ?? specifier.imported.value]
  })
}

/** The rules of the seams, as settings for ESLint; `plugin` is the name that `coreModules` is registered under. */
export function seamRules(plugin) {
  return {
    [`${plugin}/core-modules`]: 'error',
    'no-restricted-globals': [
      'error',
      ...Object.values(globals)
        .flat()
        .map((name) => ({ name, message: why })),
    ],
    'no-restricted-properties': [
      'error',
      ...properties.map(([object, property]) => ({ object, property, message: why })),
    ],
  }
}
