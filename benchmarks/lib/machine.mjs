/** Says what the figures were measured on, as far as the machine tells. Changes nothing and measures nothing itself. */
import { readFileSync, readlinkSync, statfsSync, statSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, platform, release, totalmem } from 'node:os'
import { basename, dirname } from 'node:path'

/** File systems that live in memory: a sync costs nothing there, so the figures say nothing about a disk. */
const memoryFileSystems = new Set(['tmpfs', 'ramfs'])

const magics = new Map([
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x794c7630, 'overlayfs'],
  [0x2fc12fc1, 'zfs'],
])

/** @param {string} folder where the benchmarks keep their files */
export function describeMachine(folder) {
  const fileSystem = magics.get(statfsSync(folder).type) ?? `type 0x${statfsSync(folder).type.toString(16)}`
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()}`,
    node: process.versions.node,
    fileSystem,
    onDisk: !memoryFileSystems.has(fileSystem),
    disk: diskOf(folder),
    load1m: loadavg()[0],
  }
}

/** @param {ReturnType<typeof describeMachine>} machine */
export function machineLine(machine) {
  const disk = machine.onDisk ? `${machine.fileSystem} on ${machine.disk}` : `${machine.fileSystem}, which is NO DISK`
  return `${machine.date.slice(0, 16).replace('T', ' ')} UTC · ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB · Node ${machine.node} · ${machine.system} · ${disk}`
}

/** The block device below a folder, from Linux' own books; elsewhere it isn't known. */
function diskOf(folder) {
  try {
    const { dev } = statSync(folder, { bigint: true })
    const major = (dev >> 8n) & 0xfffn
    const minor = (dev & 0xffn) | ((dev >> 12n) & 0xfff00n)
    const path = readlinkSync(`/sys/dev/block/${major}:${minor}`)
    // A partition has no queue of its own: that of its disk tells.
    for (const name of [basename(path), basename(dirname(path))]) {
      try {
        const rotational = readFileSync(`/sys/block/${name}/queue/rotational`, 'utf8').trim() === '1'
        return `${name}${name.startsWith('vd') ? ' (virtual)' : ''}${rotational ? ', said to rotate' : ', solid state'}`
      } catch {
        // Not a whole disk.
      }
    }
    return basename(path)
  } catch {
    return 'a disk of unknown kind'
  }
}

/**
 * How busy the machine is in percent of all its cores while this process waits: what others take from the figures.
 * Undefined where the system doesn't tell.
 */
export async function othersPercent() {
  const before = cpuTimes()
  await new Promise((resolve) => setTimeout(resolve, 250))
  const after = cpuTimes()
  if (before === undefined || after === undefined || after.all === before.all) return undefined
  return (100 * (after.busy - before.busy)) / (after.all - before.all)
}

function cpuTimes() {
  let all = 0
  let idle = 0
  for (const { times } of cpus()) {
    all += times.user + times.nice + times.sys + times.irq + times.idle
    idle += times.idle
  }
  return all === 0 ? undefined : { all, busy: all - idle }
}
