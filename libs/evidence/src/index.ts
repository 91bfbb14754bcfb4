/** What stands on the logs, as answers: decisions judged again, paths, receipts. */
export * from './archive/index.ts'
export * from './explain/index.ts'
export * from './past/index.ts'
export * from './path/index.ts'
export * from './recorded/index.ts'
export * from './replay/index.ts'
export * from './source/index.ts'
export * from './topics/index.ts'
