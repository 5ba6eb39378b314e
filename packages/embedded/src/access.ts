/**
 * Who may use what is made: whoever may use the folder that it lies in, whatever the umask of its maker, and whoever that is. So an
 * administrator leaves nothing behind that the nodes can't read or change. Never takes a right away, and never fails: what may not be
 * given stays as the system made it.
 */
import * as fs from 'node:fs'
import { promisify } from 'node:util'

/** What decides who may use a file or a folder. */
export interface Access {
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

const chown = promisify(fs.fchown)
const chmod = promisify(fs.fchmod)

/** Gives a file or folder that was made just now, and is open, what the folder that it lies in gives. */
export async function takeAfter(folder: string, fd: number): Promise<void> {
  let made: fs.Stats
  let wanted: Access
  try {
    // Synchronous: the system has both in memory, and mostly nothing is to be done.
    made = fs.fstatSync(fd)
    wanted = accessIn(fs.statSync(folder), made, made.isDirectory(), process.geteuid?.() === 0)
  } catch {
    // What is wrong with it is told by whatever is done there next.
    return
  }
  // First the owner: it may take bits of the mode away.
  if (wanted.uid !== made.uid || wanted.gid !== made.gid) await chown(fd, wanted.uid, wanted.gid).catch(() => undefined)
  if (wanted.mode !== (made.mode & 0o7777)) await chmod(fd, wanted.mode).catch(() => undefined)
}

/** What something that was made in a folder is given. Only root may give it another owner; anybody a group of his own. */
export function accessIn(folder: Access, made: Access, isFolder: boolean, isRoot: boolean): Access {
  return {
    uid: isRoot ? folder.uid : made.uid,
    gid: folder.gid,
    mode: (made.mode & 0o7777) | (folder.mode & (isFolder ? 0o777 : 0o666)),
  }
}
