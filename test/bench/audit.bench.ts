/** How long does it take to verify an archive of 10⁶ rows, whole and after somebody touched it? */
import type { AuditResult } from './audit/measure.ts'
import { inChild } from './child.ts'
import { atMost, type Figure, figure } from './figure.ts'

const ROWS = 1_000_000
const FEW = 50_000

export default async function audit({ quick }: { readonly quick: boolean }): Promise<readonly Figure[]> {
  const rows = quick ? FEW : ROWS
  console.error(`audit: archiving ${rows} records`)
  const { archiving, whole, touched, bytes } = await inChild<AuditResult>('./audit/measure.ts', {
    args: [String(rows)],
  })
  return [
    figure('audit.verify.whole', whole.wallS, 's', atMost(15)),
    figure('audit.verify.whole.cpu', whole.cpuS, 'CPU-s'),
    figure('audit.verify.touched', touched.wallS, 's', atMost(15)),
    figure('audit.verify.touched.cpu', touched.cpuS, 'CPU-s'),
    figure('audit.archive.records-per-second', rows / archiving.wallS, '/s'),
    figure('audit.archive.bytes-per-row', bytes / rows, 'B'),
  ]
}
