/**
 * The ways to check an option. Each takes what an application has passed and gives what is used; what is wrong it refuses with an
 * error that names the option, shows the value and says what would be right. Knows no option itself.
 */
import { badOption, refuseUnknownOptions } from '../contract/index.js'
import type { JsonValue } from './api.js'

/** `option` is the full name, as `limits.lookMs`. @throws KAGAMI_BAD_OPTION */
export type Check<T> = (value: unknown, option: string) => T

/** A check for every option of a public type, so that none is forgotten. */
export type ChecksOf<T> = { readonly [K in keyof T]-?: Check<unknown> }

const NAME = /^[A-Za-z0-9._-]{1,100}$/

/** The same check for an option that may be left out, with what it then is. */
export function or<T, const D>(check: Check<T>, fallback: D): Check<T | D> {
  return (value, option) => (value === undefined ? fallback : check(value, option))
}

export function optional<T>(check: Check<T>): Check<T | undefined> {
  return or(check, undefined)
}

/** An object of options, each with its own check. The group that an application passes itself has an empty name. */
export function group<C extends Readonly<Record<string, Check<unknown>>>>(
  checks: C,
): Check<{ readonly [K in keyof C]: ReturnType<C[K]> }> {
  const names = Object.keys(checks)
  return (value, option) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw badOption(option === '' ? 'options' : option, value, `an object of options: ${names.join(', ')}`)
    }
    refuseUnknownOptions(value, names, option)
    const given = value as Readonly<Record<string, unknown>>
    const checked: Record<string, unknown> = {}
    for (const [name, check] of Object.entries(checks)) {
      checked[name] = check(given[name], option === '' ? name : `${option}.${name}`)
    }
    return checked as { [K in keyof C]: ReturnType<C[K]> }
  }
}

/** A group that may be left out as a whole: then each of its options is what it is when it is left out. */
export function orDefaults<T>(check: Check<T>): Check<T> {
  return (value, option) => check(value === undefined ? {} : value, option)
}

/** The names of clusters, nodes and zones. */
export const name: Check<string> = (value, option) => {
  if (typeof value === 'string' && NAME.test(value)) return value
  throw badOption(option, value, '1 to 100 letters, digits, dots, dashes or underscores')
}

export const flag: Check<boolean> = (value, option) => {
  if (typeof value === 'boolean') return value
  throw badOption(option, value, 'true or false')
}

export function oneOf<const T extends string>(...values: readonly T[]): Check<T> {
  return (value, option) => {
    const found = values.find((candidate) => candidate === value)
    if (found !== undefined) return found
    throw badOption(option, value, values.map((candidate) => `'${candidate}'`).join(' or '))
  }
}

export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, option) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value
    throw badOption(option, value, `a whole number ${range(least, most, Number.MAX_SAFE_INTEGER)}`)
  }
}

export function atLeast(least: number, most = Number.MAX_VALUE): Check<number> {
  return (value, option) => {
    if (typeof value === 'number' && Number.isFinite(value) && value >= least && value <= most) return value
    throw badOption(option, value, `a number ${range(least, most, Number.MAX_VALUE)}`)
  }
}

/** Above `unbounded` there is nothing that could be meant. */
function range(least: number, most: number, unbounded: number): string {
  return most < unbounded ? `from ${least} to ${most}` : `of at least ${least}`
}

export const aboveZero: Check<number> = (value, option) => {
  if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
  throw badOption(option, value, 'a number above 0')
}

/** A function; `shape` shows how it is called. */
export function callback<F>(shape: string): Check<F> {
  return (value, option) => {
    if (typeof value === 'function') return value as F
    throw badOption(option, value, `a function ${shape}`)
  }
}

/** Something with methods: an adapter, a codec, a seam. Whether they keep their promises only use can show. */
export function having<T>(what: string, ...methods: readonly (string & keyof T)[]): Check<T> {
  return (value, option) => {
    const has = (method: string): boolean =>
      typeof value === 'object' && value !== null && typeof (value as Record<string, unknown>)[method] === 'function'
    const lacking = methods.filter((method) => !has(method))
    if (lacking.length === 0) return value as T
    const lack = lacking.length === methods.length ? '' : `; it lacks ${lacking.join(', ')}`
    throw badOption(option, value, `${what} with the methods ${methods.join(', ')}${lack}`)
  }
}

/** By what it does, since a signal may come from another realm or a library. */
export const abortSignal: Check<AbortSignal> = (value, option) => {
  const signal = value as Partial<AbortSignal> | null | undefined
  if (typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function') return value as AbortSignal
  throw badOption(option, value, 'an AbortSignal')
}

/** A plain JSON value of at most so many bytes. Gives a copy, which the application can't change any more. */
export function json(mostBytes: number): Check<JsonValue> {
  return (value, option) => {
    const text = jsonText(value)
    // Only what is short is looked into: it can't be deep.
    if (text !== undefined && Buffer.byteLength(text) <= mostBytes && isPlain(value))
      return JSON.parse(text) as JsonValue
    throw badOption(
      option,
      value,
      `a plain JSON value of at most ${mostBytes} bytes: strings, finite numbers, booleans, null, and arrays and plain objects of them`,
    )
  }
}

/** Undefined for what has no JSON at all: a function, a BigInt, a cycle. */
function jsonText(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

/** Whether JSON keeps the value as it is, instead of leaving parts out or turning them into something else. */
function isPlain(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object') return typeof value === 'string' || typeof value === 'boolean'
  if (value === null) return true
  if (Array.isArray(value)) return value.every(isPlain)
  const prototype = Object.getPrototypeOf(value) as object | null
  const plain = prototype === null || Object.getPrototypeOf(prototype) === null
  return plain && Object.values(value).every(isPlain)
}
