/** What a file imports, read from its text. Biome's format puts every static import at the start of a line. */

export interface Import {
  readonly specifier: string
  /** The package's name without subpath; the specifier itself when it is relative or a built-in. */
  readonly package: string
  /** What follows the name, as a key of `exports`: `.` or `./sub/path`. */
  readonly subpath: string
  /** Erased before the program runs. */
  readonly typesOnly: boolean
}

const STATIC = /^(import|export)\s+(type\s)?([^'"`;]*?\sfrom\s+)?['"]([^'"\n]+)['"]/gm
const DYNAMIC = /\b(?:import|require)\(\s*['"]([^'"\n]+)['"]/g

export function importsOf(text: string): Import[] {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, '')
  return [
    ...[...code.matchAll(STATIC)]
      .filter(([, keyword, , from]) => keyword === 'import' || from !== undefined)
      .map(([, , type, , specifier]) => parse(specifier ?? '', type !== undefined)),
    ...[...code.matchAll(DYNAMIC)].map(([, specifier]) => parse(specifier ?? '', false)),
  ]
}

function parse(specifier: string, typesOnly: boolean): Import {
  if (/^(\.|node:|#)/.test(specifier)) return { specifier, package: specifier, subpath: '.', typesOnly }
  const parts = specifier.split('/')
  const length = specifier.startsWith('@') ? 2 : 1
  const rest = parts.slice(length).join('/')
  return { specifier, package: parts.slice(0, length).join('/'), subpath: rest === '' ? '.' : `./${rest}`, typesOnly }
}
