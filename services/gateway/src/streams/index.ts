export type { Authority } from './open-connections.ts'
export { type Admitted, Streams, type StreamsOptions } from './streams.ts'
export { routeUpgrades, type Upgrade, upgradeOf } from './upgrades.ts'
