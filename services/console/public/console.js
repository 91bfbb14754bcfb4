// Keeps the regions of a page as the server last told them, and draws charts. Pages work without it; they only stand still.

const charts = new Map()

function follow(element) {
  const state = document.getElementById('live-state')
  const source = new EventSource(element.dataset.live)
  source.addEventListener('region', (event) => {
    const { id, text } = JSON.parse(event.data)
    replace(document.getElementById(id), text)
    if (state.dataset.lost) {
      delete state.dataset.lost
      state.textContent = 'Live again.'
    }
  })
  // Signed out, or ended elsewhere: the page itself says what to do.
  source.addEventListener('ended', () => location.reload())
  source.addEventListener('error', () => {
    if (!state.dataset.lost) state.textContent = 'The console does not answer: this page stands still.'
    state.dataset.lost = 'yes'
    // Refused, not interrupted: it will not be tried again by itself.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000)
  })
  addEventListener('pagehide', () => source.close())
}

/** Whoever stands on something in a region stands on it afterwards. */
function replace(region, text) {
  if (!region) return
  const focused = region.contains(document.activeElement) ? document.activeElement.id : null
  const opened = [...region.querySelectorAll('details[open][id]')].map(({ id }) => id)
  region.innerHTML = text
  for (const id of opened) document.getElementById(id)?.setAttribute('open', '')
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true })
  draw()
}

const COLOURS = ['#0b4f9e', '#a04000', '#1b6e3c', '#7a2a8c', '#8a1538', '#4d4d00', '#005f6b', '#5b5b5b']

/** Ten minutes at least: a single point says nothing of its time. */
function upToNow(_, first) {
  const now = Date.now() / 1000
  return [Math.min(first || now, now - 600), now]
}

/** As tables have it: UTC. */
function clockTime(at) {
  return new Date(at * 1000).toISOString().slice(11, at % 60 === 0 ? 16 : 19)
}

/** Each [data-chart] names the element whose JSON it draws: { labels: [...], unit, points: [[seconds...], [values...]...] }. */
function draw() {
  for (const figure of document.querySelectorAll('[data-chart]')) {
    const data = JSON.parse(document.getElementById(figure.dataset.chart)?.textContent || 'null')
    if (!data || typeof uPlot === 'undefined') continue
    const key = data.labels.join('\n')
    const before = charts.get(figure)
    if (before && before.key === key) {
      before.plot.setData(data.points)
      continue
    }
    before?.plot.destroy()
    const bars = data.shape === 'bars'
    const options = {
      width: figure.clientWidth,
      height: 240,
      scales: {
        x: { time: true, range: upToNow },
        // Points are spans of time, which differ by orders of magnitude.
        y: bars
          ? { range: (_, __, most) => [0, Math.max(data.least, most * 1.1)] }
          : { distr: 3, range: (_, __, most) => [1, Math.max(data.least, most * 2)] },
      },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC'),
      legend: { live: false },
      cursor: { show: false },
      axes: [
        { values: (_, times) => times.map(clockTime), space: 60 },
        { label: data.unit, size: 60 },
      ],
      series: [
        {},
        ...data.labels.map((label, i) => ({
          label,
          stroke: COLOURS[i % COLOURS.length],
          width: bars ? 2 : 0,
          paths: bars ? uPlot.paths.stepped({ align: 1 }) : () => null,
          points: { show: true, size: bars ? 4 : 8, fill: COLOURS[i % COLOURS.length] },
          spanGaps: bars,
        })),
      ],
    }
    charts.set(figure, { key, plot: new uPlot(options, data.points, figure) })
  }
}

addEventListener('resize', () => {
  for (const [figure, { plot }] of charts) plot.setSize({ width: figure.clientWidth, height: 240 })
})

for (const element of document.querySelectorAll('[data-live]')) follow(element)
draw()
