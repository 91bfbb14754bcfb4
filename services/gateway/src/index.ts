/** The gateway, for tests that start it in their own process. */
export { type Gateway, startGateway } from './app.ts'
export { config, type GatewayConfig } from './config.ts'
export { type OpenRoute, type ProtectedRoute, type Route, readRoutes } from './routes/route.ts'
