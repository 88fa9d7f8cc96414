/**
 * Public entry point of the daemon/peers component.
 * @module
 */
export { type DaemonNetwork } from "./daemon_network.ts";
export { joinNetwork } from "./join_network.ts";
