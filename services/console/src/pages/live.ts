/**
 * Pages that stay true while they are looked at. A page is made of regions; each is rendered on the server, sent with the
 * page, and sent again by server-sent events whenever it comes out different. Without script the page is as true as at its load.
 */
import type { Clock } from '@countersign/kernel'
import { seconds } from '@countersign/kernel'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Gate } from '../operators/gate.ts'
import { problem } from '../problems.ts'
import { type Html, html, type Shown } from './html.ts'
import { layout, sendPage } from './layout.ts'

export interface Page {
  /** Route pattern. */
  readonly path: string
  /** Where it is in the navigation. */
  readonly place: string
  readonly title: (request: FastifyRequest) => string
  /** Charts under regions: by id of the region, what the chart shows, for who does not see it. Drawn from `<region>-data`. */
  readonly charts?: Readonly<Record<string, string>>
  /** What comes first and stays: forms above all, which nobody wants renewed while they write. */
  readonly head?: (request: FastifyRequest) => Promise<Shown> | Shown
  /** By id, in order. */
  readonly regions: Readonly<Record<string, (request: FastifyRequest) => Promise<Html> | Html>>
}

export interface PagesOptions {
  readonly gate: Pick<Gate, 'stands'>
  readonly clock: Clock
  /** Ends every stream. */
  readonly stopping: AbortSignal
  /** Where people show themselves again before an act. */
  readonly signInUrl: string
}

const EVERY = seconds(1)
const MOST_STREAMS = 100
/** A stream that says nothing for longer is taken for dead by what is in between. */
const SILENT_TURNS = 15

export class Pages {
  readonly #options: PagesOptions
  #streams = 0

  constructor(options: PagesOptions) {
    this.#options = options
  }

  add(app: FastifyInstance, page: Page): void {
    app.get(page.path, (request, reply) => this.#show(page, request, reply))
    // Not for HEAD: it would be a stream that nobody reads.
    const stream = { exposeHeadRoute: false }
    app.get(`/live${page.path}`, stream, (request, reply) => this.#stream(page, request, reply))
  }

  async #show(page: Page, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const [head, regions] = await Promise.all([page.head?.(request), rendered(page, request)])
    const live = `/live${request.url}`
    const body = html`${head}
<div data-live="${live}">${Object.entries(regions).map(
      ([id, text]) => html`
<section id="${id}" class="region">${text}</section>${chartUnder(page, id)}`,
    )}
</div>`
    const { place } = page
    const charts = page.charts !== undefined
    const operator = request.operator?.sub ?? ''
    return sendPage(reply, 200, layout({ title: page.title(request), place, operator, charts }, body), [
      new URL(this.#options.signInUrl).origin,
    ])
  }

  async #stream(page: Page, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    if (this.#streams >= MOST_STREAMS) return problem(reply, 'too_many_streams')
    const { clock, gate, stopping } = this.#options
    this.#streams++
    const gone = new AbortController()
    const over = AbortSignal.any([gone.signal, stopping])
    reply.hijack()
    const { raw } = reply
    raw.once('close', () => gone.abort())
    raw.on('error', () => gone.abort())
    raw.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
      'x-content-type-options': 'nosniff',
    })
    try {
      const sent = new Map<string, string>()
      for (let silent = 0; !over.aborted; silent++) {
        if (!gate.stands(request)) {
          raw.write('event: ended\ndata: \n\n')
          break
        }
        for (const [id, { text }] of Object.entries(await rendered(page, request))) {
          if (sent.get(id) === text) continue
          sent.set(id, text)
          silent = 0
          raw.write(`event: region\ndata: ${JSON.stringify({ id, text })}\n\n`)
        }
        if (silent >= SILENT_TURNS) {
          silent = 0
          raw.write(':\n\n')
        }
        // A reader that does not read gets what is then, not all that was in between.
        if (raw.writableNeedDrain) await drained(raw, over)
        await clock.sleep(EVERY, over)
      }
    } finally {
      this.#streams--
      raw.end()
    }
    return reply
  }
}

/** Outside its region, so that it is drawn on and not anew. */
function chartUnder({ charts = {} }: Page, id: string): Shown {
  const label = charts[id]
  return label !== undefined && html`<div class="chart" data-chart="${id}-data" role="img" aria-label="${label}"></div>`
}

async function rendered(page: Page, request: FastifyRequest): Promise<Readonly<Record<string, Html>>> {
  const all = Object.entries(page.regions).map(async ([id, render]) => [id, await render(request)] as const)
  return Object.fromEntries(await Promise.all(all))
}

function drained(raw: FastifyReply['raw'], over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    raw.once('drain', resolve)
    over.addEventListener('abort', () => resolve(), { once: true })
  })
}
