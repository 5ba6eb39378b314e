/** SIGSTOP of a primary, for half and for three times its lease, and SIGCONT under load: a zombie that wakes up changes nothing. */
import { expect, test } from 'vitest'
import { Fleet, type Status, type Worker } from './fleet.js'

const tokens = ['t1', 't2', 't3', 't4']

for (const [times, label] of [
  [0.5, 'half'],
  [3, 'three times'],
] as const) {
  test(
    `a primary that is stopped for ${label} its lease loses nothing, doubles nothing and diverges nothing`,
    { timeout: 120_000 },
    async () => {
      await using fleet = new Fleet(tokens)
      await fleet.open(['a', 'b', 'c'])
      await fleet.settled()
      for (let round = 0; round < 5; round++) {
        const before = fleet.acked.size
        const isPrimary = ({ copies }: Status): boolean => Object.values(copies).some(({ role }) => role === 'primary')
        const victim = (await fleet.find(isPrimary)) as Worker
        victim.child.kill('SIGSTOP')
        await new Promise((resolve) => setTimeout(resolve, fleet.sessionTimeoutMs * times))
        const during = fleet.acked.size
        victim.child.kill('SIGCONT')
        await fleet.settled()
        if (times > 1) expect(during, 'the others took over').toBeGreaterThan(before)
        await fleet.goesOn(during)
      }
      const verdict = await fleet.verdict()
      console.log(JSON.stringify({ ...verdict, lost: verdict.lost.length, rejected: fleet.rejected.size }))
      expect(verdict.acknowledged).toBeGreaterThan(500)
      expect(verdict).toMatchObject({ lost: [], twice: 0, rejectedButApplied: [], diverged: [] })
    },
  )
}
