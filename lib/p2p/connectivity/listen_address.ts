/**
 * Addresses that an operator wrote.
 * @module
 */
import { multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../../core/errors/mod.ts";
import { quicAddress, tcpAddress } from "../transports/address.ts";

/** A multiaddr in its usual form. @throws {PlasmError} `bad-config` */
export function checkAddress(text: string): string {
  try {
    return multiaddr(text).toString();
  } catch (error) {
    throw new PlasmError("bad-config", `Cannot read address: ${text}`, {
      hint: "Write a multiaddr such as /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic",
      cause: error,
    });
  }
}

/**
 * An address to listen on: one that no transport of ours takes would only be found out while starting.
 *
 * @throws {PlasmError} `bad-config`
 */
export function checkListenAddress(text: string): string {
  const address = multiaddr(checkAddress(text));
  if (tcpAddress(address) === null && quicAddress(address) === null) {
    throw new PlasmError("bad-config", `Cannot listen on ${text}: it is neither TCP nor QUIC`, {
      hint:
        "Write /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic; /quic-v1 is another protocol",
    });
  }
  return address.toString();
}
