/**
 * Public entry point of the daemon/peers component.
 * @module
 */
export { type DaemonNetwork } from "../api/api_context.ts";
export { joinNetwork } from "./peer_network.ts";
