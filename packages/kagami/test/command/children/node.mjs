// A node of the embedded default, in a folder: does what its parent asks, by message. A state machine that is told to fails at its next entry.
import { createKagami } from 'kagami'
import { Counter } from '../../children/counter.mjs'

const [dir, id] = process.argv.slice(2)
let broken = false

class Fragile extends Counter {
  apply() {
    if (broken) throw new Error('broken')
    return super.apply()
  }
}

const kagami = createKagami({
  cluster: 'shop',
  dir,
  node: { id, zone: `zone-${id}` },
  stateMachine: () => new Fragile(),
  // A test freezes nodes for a moment, and must not lose them.
  sessionTimeoutMs: 20_000,
  snapshotting: { everyEntries: 10 },
  placementLimits: { graceMs: 200 },
})

const commands = {
  async token({ token, options }) {
    await kagami.token(token, options)
  },
  async replicate({ token, count }) {
    for (let i = 0; i < count; i++) await kagami.get(token).replicate(Buffer.from('x'))
  },
  async break() {
    broken = true
  },
  async look() {
    const roles = Object.fromEntries(kagami.tokens().map((token) => [token, kagami.get(token)?.role ?? 'none']))
    return { roles, members: kagami.members().map((member) => member.id), controller: kagami.health().controller }
  },
  async stop() {
    await kagami.stop()
    process.disconnect()
  },
}

process.on('message', ({ number, command, ...rest }) => {
  commands[command](rest).then(
    (value) => process.connected && process.send({ number, value }),
    (error) => process.connected && process.send({ number, error: String(error) }),
  )
})
await kagami.start()
process.send({ ready: true })
