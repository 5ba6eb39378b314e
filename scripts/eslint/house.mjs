/** The rules of the house that ESLint's own `no-restricted-syntax` can hold, as lists of selectors for it. */

/** For everything that is published. */
export const sourceSyntax = [
  { selector: 'ExportDefaultDeclaration', message: 'Named exports only.' },
  {
    selector: ':matches(Program, Program > ExportNamedDeclaration) > VariableDeclaration[kind!="const"]',
    message: 'No mutable state in a module: put it into what the factory makes.',
  },
  {
    selector: 'ThrowStatement > :matches(Literal, TemplateLiteral, ObjectExpression)',
    message: 'Throw an error: a KagamiError with a code.',
  },
  { selector: 'TSEnumDeclaration', message: 'No enum: use a union of string literals.' },
  { selector: 'TSParameterProperty', message: 'No parameter properties: declare the field.' },
]

/** For the engine, which decides and never waits. */
export const engineSyntax = [
  { selector: 'AwaitExpression', message: 'The engine decides without waiting; what waits belongs into runtime.' },
  {
    selector: 'ForOfStatement[await=true]',
    message: 'The engine decides without waiting; what waits belongs into runtime.',
  },
  {
    selector: ':function[async=true]',
    message: 'The engine decides without waiting; what waits belongs into runtime.',
  },
  {
    selector: 'NewExpression[callee.name="Promise"]',
    message: 'The engine makes no promises; what waits belongs into runtime.',
  },
]

const left = 'No test is skipped, focused or left for later.'

/** For tests: none is left out, or runs alone; neither by what declares it, nor by its options, nor by its own context. */
export const testSyntax = [
  { selector: 'MemberExpression[property.name=/^(only|skip|skipIf|runIf|todo|fails)$/]', message: left },
  { selector: 'MemberExpression[property.value=/^(only|skip|skipIf|runIf|todo|fails)$/]', message: left },
  { selector: 'Property[key.name=/^(only|skip|todo|fails)$/]', message: left },
  { selector: 'ImportSpecifier[imported.name=/^(only|skip|todo)$/]', message: left },
  { selector: 'Property[key.name="retry"]', message: 'No retries: make the test wait for what it needs.' },
]
