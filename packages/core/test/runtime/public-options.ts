/** Reads the options of the public types, with their documented defaults, from the source of `runtime/api.ts`: types leave nothing at run time. */
import { readFileSync } from 'node:fs'

const source = readFileSync(new URL('../../src/runtime/api.ts', import.meta.url), 'utf8')

/** The members of an interface, with the text after `@default` where there is one. */
export function documented(name: string): ReadonlyMap<string, string | undefined> {
  const body = new RegExp(`^export interface ${name}\\b[^{]*\\{\\n(.*?)^\\}`, 'ms').exec(source)?.[1]
  if (body === undefined) throw new Error(`api.ts declares no interface ${name}`)
  const members = new Map<string, string | undefined>()
  for (const [, comment, member] of body.matchAll(
    /^ {2}(?:\/\*\*(.*?)\*\/\n {2})?(?:readonly )?'?([\w-]+)'?[?(:<]/gms,
  )) {
    members.set(member!, /@default (.*?)\s*$/.exec(comment ?? '')?.[1])
  }
  return members
}

/** The options that a method of the node takes after the names. */
export function optionsOfMethod(method: string): readonly string[] {
  const signature = new RegExp(`^ {2}${method}\\((.*)\\): Promise`, 'm').exec(source)?.[1]
  if (signature === undefined) throw new Error(`api.ts declares no method ${method}`)
  const inline = [...signature.matchAll(/readonly (\w+)/g)].map(([, option]) => option!)
  const named = [...signature.matchAll(/\b(\w+Options)\b/g)].flatMap(([, type]) => membersOf(type!))
  return [...named, ...inline]
}

/** Of an interface, or of a type that picks from one. */
function membersOf(type: string): readonly string[] {
  const picked = new RegExp(`^export type ${type} = Pick<\\w+, (.*)>$`, 'm').exec(source)?.[1]
  if (picked === undefined) return [...documented(type).keys()]
  return [...picked.matchAll(/'(\w+)'/g)].map(([, member]) => member!)
}
