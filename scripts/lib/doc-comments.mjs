/**
 * Finds what is public and says nothing of itself: what packages export, and the members of its interfaces, classes and object types, without
 * a doc comment, or with one that only repeats the name. Whether a comment is true nobody but a reader can tell.
 */
import { join } from 'node:path'
import ts from 'typescript'

/** The declaration files that a package exports, by its manifest. */
export function doorsOf({ folder, manifest }) {
  const entries = Object.values(manifest.exports ?? {})
  return entries.flatMap(({ types }) => (types === undefined ? [] : [join(folder, types)]))
}

/** What lacks a comment behind these declaration files, as `{ file, name, problem }`. What several of them export is told once. */
export function undocumented(doors) {
  const program = ts.createProgram(doors, {
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    target: ts.ScriptTarget.ES2022,
    noLib: true,
    types: [],
  })
  const checker = program.getTypeChecker()
  const seen = new Set()
  const found = []
  const look = (symbol, declaration, name) => {
    const problem = problemOf(symbol, checker)
    if (problem !== undefined) found.push({ file: declaration.getSourceFile().fileName, name, problem })
  }
  for (const door of doors) {
    const file = program.getSourceFile(door)
    const module = file && checker.getSymbolAtLocation(file)
    if (module === undefined) throw new Error(`${door} exports nothing: build the packages first`)
    for (const exported of checker.getExportsOfModule(module)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported
      if (seen.has(symbol)) continue
      seen.add(symbol)
      const declarations = symbol.declarations ?? []
      if (declarations.length > 0) look(symbol, declarations[0], symbol.name)
      for (const declaration of declarations) {
        for (const member of membersOf(declaration)) {
          look(checker.getSymbolAtLocation(member.name), member, `${symbol.name}.${member.name.text}`)
        }
      }
    }
  }
  return found
}

function problemOf(symbol, checker) {
  const comment = ts.displayPartsToString(symbol.getDocumentationComment(checker))
  if (symbol.getJsDocTags(checker).length > 0) return undefined
  if (comment.trim() === '') return 'has no doc comment'
  const own = new Set(wordsOf(symbol.name))
  return wordsOf(comment).every((word) => own.has(word)) ? `only repeats its name: "${comment.trim()}"` : undefined
}

const fillers = new Set(['a', 'an', 'and', 'are', 'for', 'in', 'is', 'it', 'its', 'of', 'or', 'the', 'this', 'to'])

/** The words that say something, of a name or of a text: `maxFrameBytes` has three. */
function wordsOf(text) {
  const words =
    text
      .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
      .toLowerCase()
      .match(/[a-z0-9]+/g) ?? []
  return words.filter((word) => !fillers.has(word)).map((word) => word.replace(/s$/, ''))
}

/** The named public members of a declaration. */
function membersOf(declaration) {
  const all =
    ts.isInterfaceDeclaration(declaration) || ts.isClassDeclaration(declaration)
      ? declaration.members
      : ts.isTypeAliasDeclaration(declaration)
        ? membersOfType(declaration.type)
        : []
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected
  return all.filter(
    (member) =>
      member.name !== undefined &&
      (ts.isIdentifier(member.name) || ts.isStringLiteral(member.name)) &&
      !isTag(member) &&
      (ts.getCombinedModifierFlags(member) & hidden) === 0,
  )
}

/** A property of one fixed value, by which the alternatives of a union are told apart: it says all that there is to say. */
function isTag(member) {
  return ts.isPropertySignature(member) && member.type !== undefined && ts.isLiteralTypeNode(member.type)
}

function membersOfType(type) {
  if (ts.isTypeLiteralNode(type)) return type.members
  if (ts.isParenthesizedTypeNode(type)) return membersOfType(type.type)
  return ts.isIntersectionTypeNode(type) || ts.isUnionTypeNode(type) ? type.types.flatMap(membersOfType) : []
}
