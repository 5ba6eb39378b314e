import { expect, test } from 'vitest'
import { SharedLook } from '../src/shared-look.js'

/** A look that ends when it is told to, and knows how many run side by side. */
class SlowLook {
  readonly looks = new SharedLook(() => this.#look())
  begun = 0
  most = 0
  #running = 0
  #ends: ((failed: boolean) => void)[] = []

  end(failed = false): void {
    this.#ends.shift()!(failed)
  }

  #look(): Promise<number> {
    this.begun++
    this.most = Math.max(this.most, ++this.#running)
    const number = this.begun
    return new Promise((resolve, reject) => {
      this.#ends.push((failed) => {
        this.#running--
        if (failed) reject(new Error(`look ${number} failed`))
        else resolve(number)
      })
    })
  }
}

async function microtasks(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve()
}

test('who asks during a look gets the next one, together with all others who do', async () => {
  const slow = new SlowLook()
  const first = slow.looks.ask()
  const later = [slow.looks.ask(), slow.looks.ask()]
  slow.end()
  expect(await first).toBe(1)
  await microtasks(10)
  slow.end()
  expect(await Promise.all(later)).toEqual([2, 2])
  expect(slow.begun).toBe(2)
})

test('no two looks run side by side, whenever somebody asks after one has ended, well or not', async () => {
  for (const failed of [false, true]) {
    for (let asked = 0; asked < 12; asked++) {
      const slow = new SlowLook()
      slow.looks.ask().catch(() => undefined)
      const next = slow.looks.ask()
      slow.end(failed)
      await microtasks(asked)
      const last = slow.looks.ask()
      await microtasks(12)
      expect(slow.most, `asked ${asked} microtasks after the end of a look`).toBe(1)
      slow.end()
      await microtasks(12)
      if (slow.begun === 3) slow.end()
      expect(await next).toBe(2)
      // Seen after it was asked for.
      expect(await last).toBeGreaterThanOrEqual(2)
    }
  }
})
