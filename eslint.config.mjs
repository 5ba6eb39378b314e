/** What ESLint checks where. Prettier owns the format; the project's own rules lie in scripts/eslint. */
import js from '@eslint/js'
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'
import { engineSyntax, sourceSyntax, testSyntax } from './scripts/eslint/house.mjs'
import { kagamiPlugin } from './scripts/eslint/plugin.mjs'
import { seamRules } from './scripts/eslint/seams.mjs'

const root = import.meta.dirname
/** Whatever the compiler takes: a file of another extension would be built, and escape every rule. */
const ts = '{ts,mts,cts,tsx}'
const typescript = [`packages/*/{src,test}/**/*.${ts}`, `{examples/*,benchmarks}/**/*.${ts}`]
const nodeGlobals = [
  ...[
    'process',
    'console',
    'Buffer',
    'URL',
    'URLSearchParams',
    'AbortController',
    'AbortSignal',
    'performance',
    'fetch',
  ],
  ...[
    'setTimeout',
    'clearTimeout',
    'setInterval',
    'clearInterval',
    'setImmediate',
    'queueMicrotask',
    'structuredClone',
  ],
  ...['TextEncoder', 'TextDecoder', 'globalThis', 'WebAssembly', 'crypto', 'Event', 'EventTarget'],
]

export default defineConfig(
  { ignores: ['**/dist/', '**/node_modules/', '**/coverage/', '**/.turbo/'] },
  {
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    plugins: { kagami: kagamiPlugin },
  },
  {
    files: ['**/*.{js,mjs}'],
    extends: [js.configs.recommended],
    languageOptions: { globals: Object.fromEntries(nodeGlobals.map((name) => [name, 'readonly'])) },
    rules: { 'no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' }] },
  },
  {
    files: typescript,
    extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: root } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrors: 'none' },
      ],
      // Adapters implement interfaces of promises, also where they have nothing to wait for.
      '@typescript-eslint/require-await': 'off',
      // A signal's reason may be anything, and is what an aborted call rejects with. Literals are refused below.
      '@typescript-eslint/only-throw-error': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': [
        'error',
        { allowThrowingAny: true, allowThrowingUnknown: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      eqeqeq: 'error',
      'no-constant-condition': ['error', { checkLoops: false }],
    },
  },
  {
    files: [`{packages,examples}/*/**/*.{mjs,${ts}}`, `benchmarks/**/*.{mjs,${ts}}`],
    rules: { 'kagami/import-directions': ['error', { root }] },
  },
  { files: [`packages/*/src/**/*.${ts}`], rules: { 'no-restricted-syntax': ['error', ...sourceSyntax] } },
  {
    files: [`packages/core/src/engine/**/*.${ts}`],
    rules: { 'no-restricted-syntax': ['error', ...sourceSyntax, ...engineSyntax] },
  },
  {
    files: [`packages/core/src/**/*.${ts}`],
    ignores: ['packages/core/src/runtime/system-seams.ts'],
    rules: seamRules('kagami'),
  },
  {
    files: [`**/test/**/*.{mjs,${ts}}`],
    rules: { 'no-restricted-syntax': ['error', ...testSyntax] },
  },
  {
    files: [`**/test/**/*.${ts}`],
    // Tests hand over half-made objects and bound spies on purpose; what they promise is checked by running them.
    rules: {
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
)
