/** How new a read must be: `local`, `linearizable`, or `at-least=` the positions of one's own writes. */
import type { Position, Token } from 'kagami'
import type { Command, Outcome } from '../state/command.js'
import { parsePosition, Refusal } from './answers.js'

export type Freshness =
  | { readonly kind: 'local' }
  | { readonly kind: 'linearizable' }
  /** By token. A token that is not named is read as it is. */
  | { readonly kind: 'at-least'; readonly positions: ReadonlyMap<string, Position> }

const AT_LEAST = 'at-least='

/** Parses the `read` parameter. `tokens`: those that the read touches, or undefined for any. */
export function parseFreshness(text: string | undefined, tokens: readonly string[]): Freshness {
  if (text === undefined || text === 'local') return { kind: 'local' }
  if (text === 'linearizable') return { kind: 'linearizable' }
  if (!text.startsWith(AT_LEAST)) {
    const expected = 'local, linearizable, or at-least=<position> with the position of a write'
    throw new Refusal(400, 'KV_BAD_READ', `read is "${text}"; expected ${expected}`)
  }
  const positions = new Map<string, Position>()
  for (const part of text.slice(AT_LEAST.length).split(',')) {
    const { token, position } = parsePosition(part)
    if (!tokens.includes(token)) {
      throw new Refusal(400, 'KV_BAD_READ', `position ${part} is of ${token}, and this read is of ${tokens.join(', ')}`)
    }
    positions.set(token, position)
  }
  return { kind: 'at-least', positions }
}

/** Resolves when this node's copy is as new as was asked for. */
export async function waitUntil(
  token: Token<Outcome, Command>,
  freshness: Freshness,
  signal: AbortSignal,
): Promise<void> {
  switch (freshness.kind) {
    case 'local':
      return
    case 'linearizable':
      return token.sync({ signal })
    case 'at-least': {
      const position = freshness.positions.get(token.name)
      if (position !== undefined) await token.waitFor(position, { signal })
    }
  }
}
