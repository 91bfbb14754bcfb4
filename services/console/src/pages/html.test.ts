import { expect, test } from 'vitest'
import { html } from './html.ts'
import { chartData, time } from './words.ts'

test('whatever is put in is text', () => {
  const evil = '<script>alert("1" & \'2\')</script>'
  expect(html`<p title="${evil}">${[evil, html`<b>${evil}</b>`]}</p>`.text).toBe(
    `<p title="${ESCAPED}">${ESCAPED}<b>${ESCAPED}</b></p>`,
  )
  expect(html`${null}${undefined}${false}${0}`.text).toBe('0')
})

test('data of charts cannot end its element', () => {
  const { text } = chartData('x', { label: '</script><script>' })
  expect(text.match(/<\/script>/g)).toHaveLength(1)
  expect(JSON.parse(text.replace(/^<[^>]*>|<\/script>$/g, ''))).toEqual({ label: '</script><script>' })
})

test('a number that is no time is shown, and ends no page', () => {
  expect(time(2 ** 53 - 1).text).toContain('9007199254740991')
})

const ESCAPED = '&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;'
