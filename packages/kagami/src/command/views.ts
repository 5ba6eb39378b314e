/** How a cluster, a token and its snapshots are shown at a terminal. Pure: the same status at the same time gives the same text. */
import type { ClusterStatus, CopyStatus, SnapshotStatus, TokenStatus } from '@kagami/core'
import { age, bytes, NONE, printable, table, thousands, wrap, type Row } from './text.js'

export interface View {
  readonly width: number
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: number
}

export function clusterView(status: ClusterStatus, view: View): string {
  const parts = [membersTable(status, view)]
  if (status.tokens.length > 0) parts.push(tokensTable(status.tokens, view))
  parts.push([...problemLines(status, view), summary(status)].join('\n'))
  return parts.join('\n\n')
}

/** Of a status that tells of one token. */
export function tokenView(status: ClusterStatus, view: View): string {
  const [token] = status.tokens
  if (token === undefined) return summary(status)
  const facts = [
    `${printable(token.token)}: ${token.phase}, incarnation ${token.incarnation}, epoch ${token.epoch}`,
    `wanted: ${wantedText(token)}`,
    ...(token.handover === null ? [] : [`a handover to ${token.handover} is under way`]),
    `newest snapshot: ${token.snapshot === null ? 'none' : snapshotText(token.snapshot, view)}`,
  ]
  const copies = token.copies.map((copy): Row => [
    copy.node,
    copy.role,
    copy.state,
    copy.next?.index ?? NONE,
    copy.lag ?? NONE,
    noteOf(copy),
  ])
  const shown = table([['node', 'role', 'state', 'next', 'behind', ''], ...copies], view.width)
  const lines = facts.flatMap((fact) => wrap(fact, view.width))
  return [...lines, '', shown, '', ...problemLines(status, view), summary(status)].join('\n')
}

export function snapshotsView(token: string, snapshots: readonly SnapshotStatus[], { width, nowMs }: View): string {
  if (snapshots.length === 0) return `${printable(token)} has no snapshots`
  const rows = snapshots.map(({ next, bytes: size, takenAtMs, member, verified }): Row => [
    `${next.incarnation}/${next.index}`,
    bytes(size),
    new Date(takenAtMs).toISOString().replace('T', ' ').replace(/\..*/, 'Z'),
    age(nowMs - takenAtMs),
    member.slice(0, member.lastIndexOf('.')) || member,
    verified ? 'yes' : 'no',
  ])
  return table([['position', 'size', 'taken', '', 'by', 'verified'], ...rows], width)
}

function membersTable({ members }: ClusterStatus, { width }: View): string {
  const rows = members.map(({ node, zone, capacity, draining, controller, primaries, copies }): Row => [
    node,
    zone ?? NONE,
    capacity,
    primaries,
    copies,
    [
      ...(controller ? ['controller'] : []),
      ...(draining === 'no' ? [] : [draining === 'drain' ? 'draining' : 'leaving']),
    ].join(', '),
  ])
  return table([['node', 'zone', 'capacity', 'primaries', 'copies', ''], ...rows], width)
}

function tokensTable(tokens: readonly TokenStatus[], { width, nowMs }: View): string {
  const allOk = tokens.every(({ ok }) => ok)
  const rows = tokens.map(({ token, phase, ok, incarnation, epoch, copies, snapshot, handover }): Row => {
    const primary = copies.find(({ role }) => role === 'primary')
    const others = copies.filter(({ role }) => role !== 'primary').map(copyText)
    const moving = handover === null ? '' : ` (to ${handover})`
    return [
      ...(allOk ? [] : [ok ? '' : '!']),
      token,
      phase === 'open' ? `${incarnation}/${epoch}` : phase,
      primary === undefined ? NONE : `${copyText(primary)}${moving}`,
      others.length === 0 ? NONE : others.join(', '),
      snapshot === null ? NONE : `${thousands(snapshot.next.index)}, ${age(nowMs - snapshot.takenAtMs)}`,
    ]
  })
  return table([[...(allOk ? [] : ['']), 'token', 'epoch', 'primary', 'replicas', 'snapshot'], ...rows], width)
}

/** A copy in a few words: its node, and what is unusual. */
function copyText({ node, role, state, lag, error }: CopyStatus): string {
  const why = error === null ? '' : ` ${error}`
  if (state === 'serving' || (state === 'in-sync' && role !== 'primary')) return `${node}${why}`
  if (state === 'behind' && lag !== null) return `${node} (${thousands(lag)} behind${why})`
  return `${node} (${state === 'in-sync' ? 'not serving' : state}${why})`
}

function noteOf({ error, snapshotter, snapshotFails }: CopyStatus): string {
  const takes = snapshotter ? [snapshotFails ? 'its snapshots fail' : 'takes the snapshots'] : []
  return [...(error === null ? [] : [error]), ...takes].join(', ')
}

function wantedText({ wanted }: TokenStatus): string {
  if (wanted === null) return 'unknown, since the coordinator has lost it'
  const { primary, owner, replicas, weight, failover, failback } = wanted
  const owned =
    primary === 'self' ? `, owned by ${owner ?? 'nobody'}, failover '${failover}', failback ${failback}` : ''
  return `${replicas} ${replicas === 1 ? 'replica' : 'replicas'}, primary '${primary}'${owned}, weight ${weight}`
}

function snapshotText({ next, bytes: size, takenAtMs, verified }: SnapshotStatus, { nowMs }: View): string {
  return `at ${next.incarnation}/${next.index}, ${bytes(size)}, ${age(nowMs - takenAtMs)}${verified ? '' : ', not verified'}`
}

function problemLines({ tokens, snapshotsError }: ClusterStatus, { width }: View): string[] {
  const lines = tokens.flatMap(({ token, problems }) => problems.map((problem) => `${printable(token)}: ${problem}`))
  const store =
    snapshotsError === null ? [] : [`snapshots: ${printable(snapshotsError.message)} (${snapshotsError.code})`]
  return [...lines, ...store].flatMap((line) => wrap(line, width))
}

function summary({ cluster, ok, controller, members, tokens }: ClusterStatus): string {
  const fine = tokens.filter((token) => token.ok).length
  const count = `${members.length} ${members.length === 1 ? 'member' : 'members'}`
  return `${ok ? 'OK' : 'NOT OK'}: ${cluster} has ${count}, ${controller === null ? 'no known controller' : `controller ${controller}`}; ${fine} of ${tokens.length} tokens fine`
}
