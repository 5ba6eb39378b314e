/** A full disk: no write is lost, doubled or left hanging for ever, nobody is expelled, and with room everything goes on by itself. */
import { expect, test } from 'vitest'
import { inNamespace } from './children.js'

test('while the disk is full writes are refused, and one that was sealed before is acknowledged when there is room', async (context) => {
  const result = await inNamespace(context, 'full-disk.mjs')
  const refused = {
    code: 'KAGAMI_STORE_FULL',
    retryable: true,
    details: { token: 'orders' },
    message: expect.stringMatching(/free some space, then it goes on by itself/),
  }
  const full = { code: 'KAGAMI_STORE_FULL', retryable: true, message: expect.stringMatching(/free some space/) }
  const entries = ['first', 'second', 'sealed', 'third']
  expect(result).toMatchObject({
    refused,
    whileFull: {
      sealed: 'pending',
      problems: expect.arrayContaining([expect.stringMatching(/'orders'.*KAGAMI_STORE_FULL/)]),
      role: 'primary',
      starting: full,
      created: full,
      altered: full,
      removed: full,
      read: 2,
    },
    later: { sealed: 'pending', refused, lines: 2 },
    sealed: 'done',
    third: 'done',
    cart: 'done',
    copies: [entries, entries],
    same: true,
  })
})
