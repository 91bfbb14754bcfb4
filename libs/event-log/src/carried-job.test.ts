import { fc, test } from '@fast-check/vitest'
import { expect, it } from 'vitest'
import { jobFromJson, jobToJson } from './carried-job.ts'

const bytes = fc.uint8Array({ maxLength: 50 }).map((some) => Buffer.from(some))
const job = fc.record({
  topic: fc.string(),
  key: fc.option(bytes),
  value: fc.option(bytes),
  headers: fc.dictionary(fc.string({ minLength: 1 }), bytes),
})

test.prop([job])('a job is the same after a journey as JSON', (sent) => {
  const carried = jobFromJson(JSON.parse(JSON.stringify(jobToJson(sent))))
  const { headers, ...taken } = carried ?? { headers: {} }
  const { headers: sentHeaders, ...rest } = sent
  expect(taken).toEqual(rest)
  expect(Object.entries(headers)).toEqual(Object.entries(sentHeaders))
})

it.each([
  null,
  'text',
  [],
  {},
  { topic: 1, key: null, value: null, headers: {} },
  { topic: 't', key: null, value: null },
  { topic: 't', key: 7, value: null, headers: {} },
  { topic: 't', key: null, value: null, headers: { one: null } },
  { topic: 't', key: null, headers: {} },
])('takes nothing else for a job: %j', (data) => {
  expect(jobFromJson(data)).toBe(null)
})
