import { Opener, seal, bindEvent } from '@countersign/envelope'
import { NOW, testAuthority, testClaims, testContext, testId } from '@countersign/envelope/testing'
const a = testAuthority()
const opener = new Opener()
for (const n of [1, 4, 16, 64, 256, 1000]) {
  const total = n === 1 ? 3000 : 64_000
  const rounds = Math.ceil(total / n)
  const values = Array.from({ length: n }, (_, i) => Buffer.alloc(1024, i))
  const keys = values.map((_, i) => Buffer.from(`inv-${i}`))
  const batches: Buffer[][] = []
  let seq = 0
  const t0 = performance.now()
  for (let r = 0; r < rounds; r++) batches.push(seal(values.map((value, i) => testClaims({ txn: `t${seq++}`, event: bindEvent({ topic: 'invoices.export', key: keys[i]!, id: testId(i), value }) })), a.keys.envelope))
  const t1 = performance.now()
  const ctx = values.map((value, i) => testContext(a.ring, { value, key: keys[i]! }))
  for (let pass = 0; pass < 1; pass++) {
    const s = performance.now(); let bad = 0
    for (const b of batches) for (let i = 0; i < n; i++) { const r = opener.open(b[i]!, ctx[i]!); if (!r.ok) { bad++; if (bad < 3) console.log(r) } }
    const us = (performance.now() - s) / (rounds * n) * 1000
    console.log(`n=${n} open ${us.toFixed(2)} us = ${(1e6/us).toFixed(0)}/s bad ${bad}; seal ${((t1 - t0) / (rounds * n) * 1000).toFixed(2)} us; size ${batches[0]![0]!.length}`)
  }
}
