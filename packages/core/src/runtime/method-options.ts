/**
 * Everything that an application can pass to the methods of a node and of a token, declared once: its check and its default. Does
 * nothing with it.
 */
import { badOption, type Position } from '../contract/index.js'
import type { AlterOptions, KagamiEvents, TokenOptions } from './api.js'
import type { StatusOptions } from './cluster-api.js'
import {
  abortSignal,
  aboveZero,
  atLeast,
  callback,
  flag,
  group,
  name,
  oneOf,
  optional,
  or,
  orDefaults,
  whole,
  type ChecksOf,
} from './option-checks.js'
import { MAX_TOKEN_BYTES } from './options.js'

type Signalled = { readonly signal?: AbortSignal }

const replicas = whole(0)
const failover = oneOf('promote', 'hold')
const signal = optional(abortSignal)

const token = group({
  replicas: or(replicas, 1),
  primary: or(oneOf('balanced', 'self'), 'balanced'),
  failover: or(failover, 'promote'),
  failback: or(flag, false),
  weight: or(aboveZero, 1),
  adopt: or(flag, false),
  onPromote: optional(callback('({ signal, fence }) => void')),
  onDemote: optional(callback('() => void')),
  signal,
} satisfies ChecksOf<TokenOptions & Signalled>)

export type TokenSettings = Pick<ReturnType<typeof token>, 'replicas' | 'weight' | 'primary' | 'failover' | 'failback'>

/** @throws KAGAMI_BAD_OPTION */
export function tokenSettings(options: TokenOptions & Signalled): TokenSettings {
  const { replicas, weight, primary, failover, failback } = token(options, '')
  if (primary === 'balanced') {
    for (const owned of ['failover', 'failback'] as const) {
      if (options[owned] !== undefined) throw badOption(owned, options[owned], "nothing unless primary is 'self'")
    }
  }
  return { replicas, weight, primary, failover, failback }
}

const alter = group({
  replicas: optional(replicas),
  weight: optional(aboveZero),
  failover: optional(failover),
  failback: optional(flag),
  signal,
} satisfies ChecksOf<AlterOptions & Signalled>)
const handover = orDefaults(group({ to: name, signal } satisfies ChecksOf<{ readonly to: string } & Signalled>))
const stop = orDefaults(group({ deadlineMs: or(atLeast(0), 10_000) }))
const signalled = orDefaults(group({ signal } satisfies ChecksOf<Signalled>))

const status = orDefaults(
  group({ token: optional((value) => tokenName(value)), signal } satisfies ChecksOf<StatusOptions>),
)

/** What each method of a node, or of a cluster, takes, besides `token`, which has defaults that depend on each other: see {@link tokenSettings}. */
export const methodOptions = {
  start: signalOnly,
  alter: (options: unknown) => alter(options, ''),
  handover: (options: unknown) => handover(options, ''),
  drain: signalOnly,
  remove: signalOnly,
  snapshots: signalOnly,
  status: (options: unknown) => status(options, ''),
  stop: (options: unknown) => stop(options, ''),
}

/** The options of a method that takes a signal and nothing else. @throws KAGAMI_BAD_OPTION */
export function signalOnly(options: unknown): AbortSignal | undefined {
  // Asked with every write.
  return options === undefined ? undefined : signalled(options, '').signal
}

/** @throws KAGAMI_BAD_OPTION */
export function tokenName(token: unknown): string {
  if (
    typeof token !== 'string' ||
    token === '' ||
    Buffer.byteLength(token) > MAX_TOKEN_BYTES ||
    Buffer.from(token).toString() !== token
  ) {
    throw badOption('token', token, `a non-empty string of at most ${MAX_TOKEN_BYTES} bytes in UTF-8`)
  }
  return token
}

/** Of an entry: what `replicate` gave, on this node or another. @throws KAGAMI_BAD_OPTION */
export function checkPosition(value: unknown): Position {
  const { incarnation, index } = (value ?? {}) as Readonly<Record<keyof Position, unknown>>
  return { incarnation: whole(0)(incarnation, 'position.incarnation'), index: whole(0)(index, 'position.index') }
}

const events: Readonly<Record<keyof KagamiEvents, true>> = {
  joined: true,
  suspended: true,
  resumed: true,
  expired: true,
  controller: true,
  copy: true,
  promoting: true,
  promoted: true,
  demoted: true,
  restoring: true,
  restored: true,
  'in-sync': true,
  snapshot: true,
  failed: true,
  'spec-lost': true,
  deleted: true,
  assigned: true,
}

const eventName = oneOf(...Object.keys(events))
const listener = callback('(payload) => void')

/** What `on` is given. @throws KAGAMI_BAD_OPTION */
export function checkListener(event: unknown, onEvent: unknown): void {
  eventName(event, 'event')
  listener(onEvent, 'listener')
}
