/** Runs one benchmark in a process of its own, so that none changes another's heap, and hands its rows to the parent. */
import { Scene } from './lib/scene.mjs'

const [name, dir, quick] = process.argv.slice(2)
const scene = new Scene({ dir, quick: quick === 'quick' })

// The parent is gone, or has given up: the workers end with their own channel to this process.
process.on('disconnect', () => process.exit(1))
process.on('SIGTERM', () => void scene.close().finally(() => process.exit(1)))
for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {})

let answer
try {
  const { run } = await import(`./measure/${name}.mjs`)
  answer = { rows: await run(scene) }
} catch (error) {
  answer = { error: error?.stack ?? String(error) }
}
await scene.close()
if (process.connected) process.send(answer, () => process.exit(0))
