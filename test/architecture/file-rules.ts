/** How files are named, how long they are, and what they may not reach for. */

import { basename } from 'node:path'
import { isTest, matchesAny, packageOf, type Repository, type Rule, sources } from './repository.ts'

const LONGEST = 500
const FORBIDDEN = new Set(['util', 'utils', 'helper', 'helpers', 'common', 'shared', 'misc'])
const SUFFIXES = new Set([
  '',
  'test',
  'property.test',
  'contract.test',
  'e2e.test',
  'bench',
  'test-d',
  'd',
  'config',
  'setup',
])

/** No file is longer than 500 lines. */
export const filesAreShort: Rule = (repository) =>
  sources(repository).flatMap(([file, text]) => {
    const lines = text.trimEnd().split('\n').length
    return lines > LONGEST ? [`${file}: ${lines} lines, at most ${LONGEST}`] : []
  })

/** Names say what is inside; words that fit anything are not names. Files are in kebab case. */
export const namesMean: Rule = (repository) =>
  sources(repository).flatMap(([file]) => {
    const words = file.split('/').map((part) => part.split('.')[0] ?? '')
    const empty = words.filter((word) => FORBIDDEN.has(word)).map((word) => `${file}: "${word}" says nothing`)
    return /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)+$/.test(basename(file))
      ? empty
      : [...empty, `${file}: not in kebab case`]
  })

/** Suffixes are a closed list, so that no test hides from the pattern that runs it. */
export const suffixesAreKnown: Rule = (repository) =>
  sources(repository).flatMap(([file]) => {
    const suffix = basename(file).split('.').slice(1, -1).join('.')
    return SUFFIXES.has(suffix) ? [] : [`${file}: unknown suffix .${suffix}`]
  })

/** The top level holds what the design names, and dotfiles of tools. */
export const topLevelIsFixed: Rule = ({ files, layers }) =>
  [...new Set([...files.keys()].map((file) => file.split('/')[0] ?? ''))]
    .filter((name) => !name.startsWith('.') && !layers.topLevel.includes(name))
    .map((name) => `${name} does not belong at the top level`)

/** Every server has the same four entries. */
export const serversLookAlike: Rule = ({ files, layers }) =>
  layers.servers.flatMap((path) =>
    ['main.ts', 'config.ts', 'app.ts', 'problems.ts']
      .map((entry) => `${path}/src/${entry}`)
      .filter((file) => !files.has(file))
      .map((file) => `${file} is missing`),
  )

const AMBIENT =
  /\b(Date\.now|new Date\(\)|setTimeout|setInterval|setImmediate|Math\.random|performance\.now|process\.(env|hrtime)|randomBytes|randomUUID)\b|node:timers/

/** Libraries take time, randomness and configuration through ports, so that a simulation can own them. */
export const timeComesThroughPorts: Rule = (repository) =>
  sources(repository).flatMap(([file, text]) =>
    isPure(repository, file)
      ? text.split('\n').flatMap((line, i) => {
          const found = /^\s*(\/\/|\/?\*)/.test(line) ? null : AMBIENT.exec(line)
          return found === null ? [] : [`${file}:${i + 1}: ${found[0]} outside an adapter`]
        })
      : [],
  )

function isPure(repository: Repository, file: string): boolean {
  const { layersUpTo, adapters } = repository.layers.ambient
  const home = packageOf(repository, file)
  if (home === undefined || home.layer > layersUpTo || isTest(file) || matchesAny(file, adapters)) return false
  return file.startsWith(`${home.path}/src/`)
}
