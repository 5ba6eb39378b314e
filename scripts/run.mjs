#!/usr/bin/env node
/**
 * The one door to the repository's commands: checks Node, installs and builds what is missing, then runs the job that
 * is named. Runs before anything is installed, so this file and `lib/` import nothing but Node's own modules.
 */
const needed = [20, 19]
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < needed[0] || (major === needed[0] && minor < needed[1])) {
  console.error(`Kagami needs Node ${needed.join('.')} or newer, and this is Node ${process.versions.node}.
Install a current Node from https://nodejs.org (or \`npx -p node@22 npm test\` for a try), then run the command again.`)
  process.exit(1)
}

// Loaded only now: an older Node must see the message above, not a syntax error.
const { runJob } = await import('./lib/jobs.mjs')
process.exitCode = await runJob(process.argv[2], process.argv.slice(3))
