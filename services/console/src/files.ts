/** The few files pages load: our own, and those of the chart library as its package has them. */
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'

const FILES = [
  ['console.css', new URL('../public/console.css', import.meta.url), 'text/css'],
  ['console.js', new URL('../public/console.js', import.meta.url), 'text/javascript'],
  ['icon.svg', new URL('../public/icon.svg', import.meta.url), 'image/svg+xml'],
  ['uplot.js', new URL(import.meta.resolve('uplot/dist/uPlot.iife.min.js')), 'text/javascript'],
  ['uplot.css', new URL(import.meta.resolve('uplot/dist/uPlot.min.css')), 'text/css'],
] as const

export function fileRoutes(app: FastifyInstance): void {
  for (const [name, url, type] of FILES) {
    const content = readFileSync(url)
    app.get(`/files/${name}`, (_request, reply) =>
      reply
        .header('cache-control', 'public, max-age=300')
        .header('x-content-type-options', 'nosniff')
        .type(`${type}; charset=utf-8`)
        .send(content),
    )
  }
}
