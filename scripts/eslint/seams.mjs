/**
 * What core may use of the platform: only what has no clock, draws no lots, prints nothing and waits for no thread. Core
 * reaches those through `contract/seams.ts`; the one file that implements the seams on the real system is excepted.
 * Whatever is not listed is refused, so that what Node adds later is refused, too.
 */
import { isBuiltin } from 'node:module'

const why = 'Core has no clock, chance, console or thread pool of its own: use the seams (contract/seams.ts).'

/** Globals that core may use. */
export const globals = [
  ...['undefined', 'NaN', 'Infinity', 'isNaN', 'isFinite', 'parseInt', 'parseFloat'],
  ...['Object', 'Array', 'Boolean', 'Number', 'BigInt', 'String', 'Symbol', 'RegExp', 'JSON', 'Math'],
  ...['Map', 'Set', 'WeakMap', 'WeakSet', 'Promise', 'Reflect', 'Proxy'],
  ...['Error', 'AggregateError', 'RangeError', 'TypeError'],
  ...['ArrayBuffer', 'DataView', 'Int8Array', 'Uint8Array', 'Uint8ClampedArray', 'Int16Array', 'Uint16Array'],
  ...['Int32Array', 'Uint32Array', 'BigInt64Array', 'BigUint64Array', 'Float32Array', 'Float64Array'],
  ...['AbortController', 'AbortSignal', 'Buffer', 'TextDecoder', 'TextEncoder'],
  ...['queueMicrotask', 'structuredClone'],
]

/** Of these globals, what core may not use. They must be named where they are used: an alias would hide which property is taken. */
export const refusedProperties = { Math: ['random'], AbortSignal: ['timeout'] }

/** Node's modules that core may import, and which of their names. */
export const modules = {
  'node:zlib': ['crc32'],
  'node:crypto': ['hash', 'createHash'],
  'node:buffer': ['Buffer'],
  'node:events': ['EventEmitter', 'addAbortListener', 'setMaxListeners'],
  'node:async_hooks': ['AsyncLocalStorage', 'AsyncResource'],
  'node:assert': ['AssertionError', 'ok', 'equal', 'notEqual', 'strictEqual', 'deepStrictEqual'],
  'node:util': ['inspect', 'isDeepStrictEqual', 'types'],
}

/** Refuses globals that are not listed above. Types are free. */
export const coreGlobals = {
  meta: {
    type: 'problem',
    docs: { description: 'Core uses only globals that neither wait nor draw lots.' },
    schema: [],
    messages: {
      global: `"{{name}}" may not be used in core. ${why}`,
      property: `"{{name}}.{{property}}" may not be used in core. ${why}`,
      alias:
        'Write "{{name}}" only before the property that is taken, or after instanceof: core may not use all of it.',
      constructor: 'A constructor that is reached through a value may be that of functions, which runs any text.',
    },
  },
  create(context) {
    const check = ({ identifier, isValueReference }) => {
      const { name, parent } = identifier
      if (isValueReference === false) return
      if (!globals.includes(name)) return context.report({ node: identifier, messageId: 'global', data: { name } })
      if (!Object.hasOwn(refusedProperties, name)) return
      if (parent.type === 'BinaryExpression' && parent.operator === 'instanceof' && parent.right === identifier) return
      const property = parent.type === 'MemberExpression' && parent.object === identifier ? nameOf(parent) : undefined
      if (property === undefined) context.report({ node: identifier, messageId: 'alias', data: { name } })
      else if (refusedProperties[name].includes(property))
        context.report({ node: parent, messageId: 'property', data: { name, property } })
    }
    return {
      'Program:exit'() {
        const { globalScope } = context.sourceCode.scopeManager
        const declared = globalScope.variables.filter(({ defs }) => defs.length === 0)
        for (const reference of [...globalScope.through, ...declared.flatMap(({ references }) => references)])
          check(reference)
      },
      MemberExpression(node) {
        if (nameOf(node) === 'constructor') context.report({ node, messageId: 'constructor' })
      },
      'ObjectPattern > Property'(node) {
        if (keyOf(node) === 'constructor') context.report({ node, messageId: 'constructor' })
      },
    }
  },
}

/** The property that a member expression takes, where the text alone says which. */
function nameOf({ computed, property }) {
  return computed ? textOf(property) : property.name
}

function keyOf({ computed, key }) {
  return computed ? textOf(key) : (key.name ?? textOf(key))
}

/** The text that an expression is, if it is one without parts. */
function textOf(node) {
  if (node?.type === 'Literal' && typeof node.value === 'string') return node.value
  return node?.type === 'TemplateLiteral' && node.expressions.length === 0 ? node.quasis[0].value.cooked : undefined
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
    const check = (at, names) => {
      const written = textOf(at)
      const source = isBuiltin(written ?? '') && !written.startsWith('node:') ? `node:${written}` : written
      if (source === undefined || !source.startsWith('node:')) return
      const allowed = Object.hasOwn(modules, source) ? modules[source] : undefined
      if (allowed === undefined) return context.report({ node: at, messageId: 'module', data: { source } })
      for (const [node, name] of names) {
        if (!allowed.includes(name))
          context.report({ node, messageId: 'name', data: { source, allowed: allowed.join(', ') } })
      }
    }
    return {
      ImportDeclaration(node) {
        if (node.importKind === 'type') return
        const values = node.specifiers.filter((specifier) => specifier.importKind !== 'type')
        check(node.source, values.length === 0 && node.specifiers.length > 0 ? [] : named(node, values))
      },
      ExportNamedDeclaration(node) {
        if (node.source !== null && node.exportKind !== 'type')
          check(
            node.source,
            node.specifiers.map((specifier) => [specifier, specifier.local.name]),
          )
      },
      ExportAllDeclaration(node) {
        if (node.exportKind !== 'type') check(node.source, [[node, '*']])
      },
      ImportExpression: (node) => check(node.source, [[node, '*']]),
      TSImportEqualsDeclaration(node) {
        if (node.moduleReference.type === 'TSExternalModuleReference' && node.importKind !== 'type')
          check(node.moduleReference.expression, [[node, '*']])
      },
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

/** The rules of the seams, as settings for ESLint; `plugin` is the name that they are registered under. */
export function seamRules(plugin) {
  return { [`${plugin}/core-globals`]: 'error', [`${plugin}/core-modules`]: 'error' }
}
