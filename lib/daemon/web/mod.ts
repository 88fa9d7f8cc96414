/**
 * The dashboard: a page for browsers, and the server that connects it to a daemon.
 *
 * @module
 */
export { type Dashboard, type DashboardOptions, serveDashboard } from "./serve_dashboard.ts";
export {
  DATA_HEADERS,
  loopbackHosts,
  type PageRequest,
  PageServer,
  type PageServerOptions,
} from "./page_server.ts";
