/**
 * Limits downloads to listed servers and public addresses; apart from the rest, because it loads Node's resolver.
 *
 * @module
 */
export { HostPolicy } from "./host_policy.ts";
export { PinnedConnections } from "./pinned_connections.ts";
