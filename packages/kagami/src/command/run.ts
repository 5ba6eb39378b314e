/** Runs one command line of `kagami`, and says how it ended. Composes; knows no cluster itself. */
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { badOption, isKagamiError, KagamiError, type Cluster, type ClusterStatus } from '@kagami/core'
import { numberOf, readArguments, type Call } from './arguments.js'
import { help } from './help.js'
import { openPlace } from './place.js'
import { show } from './screen.js'
import { printable } from './text.js'
import { clusterView, snapshotsView, tokenView } from './views.js'

/** What the command needs of its process. */
export interface Terminal {
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

/** How a subcommand ended. */
interface Outcome {
  readonly exitCode: number
  /** Shown first; undefined where it was shown already. */
  readonly text: string | undefined
  /** The line that `--json` asks for. */
  readonly json: unknown
}

const WELL = 0
const NOT_WELL = 1
const ASKED_WRONGLY = 2
const TIMEOUT_MS = 30_000
/** Longer ones overflow the platform's timers, which then fire at once. */
const LONGEST_MS = 2 ** 31 - 1
/** Changes come in crowds, and nobody reads faster. */
const REFRESH_MS = 200
const AGEING_MS = 1_000
const WIDTH = 80

/** Resolves with the exit code, when everything is closed. Aborting `interrupted` ends it at once; its reason is the exit code. */
export async function run(args: readonly string[], terminal: Terminal, interrupted: AbortSignal): Promise<number> {
  const wantsJson = args.includes('--json')
  let call: Call | undefined
  try {
    call = readArguments(args)
    const { exitCode, text, json } = await outcomeOf(call, terminal, interrupted)
    if (text !== undefined) print(terminal, text)
    if (wantsJson) print(terminal, JSON.stringify(json))
    return interrupted.aborted ? Number(interrupted.reason) : exitCode
  } catch (error) {
    const told = interrupted.aborted ? givenUp('KAGAMI_STOPPED', 'this was interrupted', call) : error
    if (!isKagamiError(told)) throw error
    const { code, message, details } = told
    terminal.stderr.write(`kagami: ${message.split('\n').map(printable).join('\n')} (${code})\n`)
    if (wantsJson) print(terminal, JSON.stringify({ error: { code, message, details } }))
    if (interrupted.aborted) return Number(interrupted.reason)
    return code === 'KAGAMI_BAD_OPTION' ? ASKED_WRONGLY : NOT_WELL
  }
}

async function outcomeOf(call: Call, terminal: Terminal, interrupted: AbortSignal): Promise<Outcome> {
  switch (call.name) {
    case 'help':
      return well(help(), { help: help() })
    case 'version':
      return version()
    case 'status':
      return onCluster(call, interrupted, (cluster, signal) =>
        call.flag('watch') ? watch(call, cluster, terminal, interrupted) : status(call, cluster, terminal, signal),
      )
    case 'snapshots':
      return onCluster(call, interrupted, async (cluster, signal) => {
        const { token = '' } = call
        const snapshots = await cluster.snapshots(token, { signal })
        return well(snapshotsView(token, snapshots, viewOf(terminal)), { token, snapshots })
      })
    case 'handover':
      return handover(call, interrupted)
    case 'alter':
      return alter(call, interrupted)
    case 'remove':
      return remove(call, interrupted)
  }
}

async function version(): Promise<Outcome> {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    readonly version: string
  }
  return well(version, { version })
}

async function status(call: Call, cluster: Cluster, terminal: Terminal, signal: AbortSignal): Promise<Outcome> {
  const token = call.text('token')
  const found = await cluster.status({ signal, ...(token === undefined ? {} : { token }) })
  return { exitCode: exitCodeOf(found), text: statusText(call, found, terminal), json: found }
}

/** Until it is interrupted. What was seen last counts. */
async function watch(call: Call, cluster: Cluster, terminal: Terminal, interrupted: AbortSignal): Promise<Outcome> {
  const token = call.text('token')
  let last: ClusterStatus | undefined
  const draw = (): void => {
    if (last !== undefined) show(terminal.stdout, statusText(call, last, terminal))
  }
  // How long ago something was changes by itself.
  const ageing = terminal.stdout.isTTY ? setInterval(draw, AGEING_MS) : undefined
  try {
    for await (last of cluster.watch({ signal: interrupted, ...(token === undefined ? {} : { token }) })) {
      draw()
      await sleep(REFRESH_MS, undefined, { signal: interrupted })
    }
  } catch (error) {
    if (!interrupted.aborted) throw error
  } finally {
    clearInterval(ageing)
  }
  return { exitCode: last === undefined ? NOT_WELL : exitCodeOf(last), text: undefined, json: last ?? null }
}

function statusText(call: Call, status: ClusterStatus, terminal: Terminal): string {
  const view = viewOf(terminal)
  return call.text('token') === undefined ? clusterView(status, view) : tokenView(status, view)
}

async function handover(call: Call, interrupted: AbortSignal): Promise<Outcome> {
  const { token = '' } = call
  const to = call.text('to')
  if (to === undefined) throw badOption('--to', to, 'the id of the node that takes over')
  return onCluster(call, interrupted, async (cluster, signal) => {
    await cluster.handover(token, { to, signal })
    const epoch = (await cluster.status({ token, signal })).tokens[0]?.epoch
    return well(`${printable(token)}: ${to} serves it as the primary, in epoch ${epoch}`, { token, primary: to, epoch })
  })
}

async function alter(call: Call, interrupted: AbortSignal): Promise<Outcome> {
  const { token = '' } = call
  const failback = call.text('failback')
  if (failback !== undefined && failback !== 'true' && failback !== 'false')
    throw badOption('--failback', failback, 'true or false')
  const changes = Object.fromEntries(
    Object.entries({
      replicas: numberOf(call, 'replicas'),
      weight: numberOf(call, 'weight'),
      // Which of them are right is core's to say.
      failover: call.text('failover') as 'promote' | 'hold' | undefined,
      failback: failback === undefined ? undefined : failback === 'true',
    }).filter(([, value]) => value !== undefined),
  )
  if (Object.keys(changes).length === 0)
    throw badOption('alter', undefined, 'something to change: --replicas, --weight, --failover or --failback')
  return onCluster(call, interrupted, async (cluster, signal) => {
    await cluster.alter(token, { ...changes, signal })
    const told = Object.entries(changes).map(([option, value]) => `${option} ${String(value)}`)
    const text = `${printable(token)}: recorded ${told.join(', ')}; the controller carries it out, and kagami status shows it`
    return well(text, { token, altered: changes })
  })
}

async function remove(call: Call, interrupted: AbortSignal): Promise<Outcome> {
  const { token = '' } = call
  if (!call.flag('yes'))
    throw badOption('--yes', undefined, `it, since the token, its log and its snapshots are deleted for good`)
  return onCluster(call, interrupted, async (cluster, signal) => {
    await cluster.remove(token, { signal })
    return well(`${printable(token)}: removed`, { token, removed: true })
  })
}

/** Opens the cluster, and closes it whatever happens. The signal that `work` is given aborts when the time is over, too. */
async function onCluster(
  call: Call,
  interrupted: AbortSignal,
  work: (cluster: Cluster, signal: AbortSignal) => Promise<Outcome>,
): Promise<Outcome> {
  const timeoutMs = numberOf(call, 'timeout-ms') ?? TIMEOUT_MS
  if (!(timeoutMs >= 1 && timeoutMs <= LONGEST_MS))
    throw badOption('--timeout-ms', timeoutMs, `a number from 1 to ${LONGEST_MS}`)
  const late = new AbortController()
  const timer = setTimeout(
    () => late.abort(givenUp('KAGAMI_TIMEOUT', `this has taken longer than --timeout-ms, ${timeoutMs}`, call)),
    timeoutMs,
  )
  const signal = AbortSignal.any([interrupted, late.signal])
  let cluster: Cluster | undefined
  try {
    cluster = await openPlace(call, signal)
    if (call.flag('watch')) clearTimeout(timer)
    return await work(cluster, signal)
  } finally {
    clearTimeout(timer)
    await cluster?.stop()
  }
}

/** What was written stays, and is carried out when it can be. */
function givenUp(code: 'KAGAMI_STOPPED' | 'KAGAMI_TIMEOUT', why: string, call: Call | undefined): KagamiError {
  const changes = call?.name === 'handover' || call?.name === 'alter' || call?.name === 'remove'
  const wish = changes ? '. What was asked for may stand, and be carried out later: see kagami status' : ''
  return new KagamiError(code, why + wish, { retryable: true })
}

function well(text: string, json: unknown): Outcome {
  return { exitCode: WELL, text, json }
}

function exitCodeOf({ ok }: ClusterStatus): number {
  return ok ? WELL : NOT_WELL
}

function viewOf({ stdout }: Terminal): Parameters<typeof clusterView>[1] {
  return { width: stdout.isTTY ? stdout.columns : WIDTH, nowMs: Date.now() }
}

function print({ stdout }: Terminal, text: string): void {
  stdout.write(`${text}\n`)
}
