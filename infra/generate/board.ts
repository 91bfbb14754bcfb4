/** The board of Grafana, made from its panels. Pure; `main.ts` reads and writes. */
import { type Panel, ROWS } from './board-panels.ts'

const DATASOURCE = { type: 'prometheus', uid: 'prometheus' }
const ACROSS = 3
const [WIDTH, HEIGHT] = [24 / ACROSS, 8]

/** @returns the text of the dashboard file. */
export function board(): string {
  const panels: object[] = []
  let y = 0
  for (const { title, panels: inside } of ROWS) {
    panels.push({
      id: panels.length + 1,
      type: 'row',
      title,
      collapsed: false,
      gridPos: { x: 0, y, w: 24, h: 1 },
      panels: [],
    })
    y++
    for (const [i, panel] of inside.entries()) {
      const gridPos = { x: (i % ACROSS) * WIDTH, y: y + Math.floor(i / ACROSS) * HEIGHT, w: WIDTH, h: HEIGHT }
      panels.push(drawn(panel, panels.length + 1, gridPos))
    }
    y += Math.ceil(inside.length / ACROSS) * HEIGHT
  }
  const time = { from: 'now-15m', to: 'now' }
  const all = { uid: 'countersign', title: 'Countersign', schemaVersion: 39, refresh: '5s', time, tags: [], panels }
  return `${JSON.stringify(all, null, 2)}\n`
}

function drawn({ title, unit, queries }: Panel, id: number, gridPos: object): object {
  return {
    id,
    type: 'timeseries',
    title,
    datasource: DATASOURCE,
    gridPos,
    fieldConfig: { defaults: { unit, ...(unit === 'percentunit' && { min: 0, max: 1 }) }, overrides: [] },
    targets: queries.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i),
      expr,
      legendFormat: legend,
    })),
  }
}
