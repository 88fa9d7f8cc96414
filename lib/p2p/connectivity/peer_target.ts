/**
 * How a user names a peer.
 * @module
 */
import { peerIdFromString } from "@libp2p/peer-id";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../../core/errors/mod.ts";

/**
 * Reads a peer id, or a multiaddr that ends with one.
 *
 * @throws {PlasmError} `usage` where it is neither
 */
export function readPeer(text: string): { peerId: string; addresses: Multiaddr[] } {
  try {
    if (!text.startsWith("/")) return { peerId: peerIdFromString(text).toString(), addresses: [] };
    const address = multiaddr(text);
    const last = address.getComponents().findLast(({ name }) => name === "p2p");
    const peerId = peerIdFromString(last?.value ?? "").toString();
    // A bare /p2p/ address says no way: the peer store or the DHT knows one.
    return { peerId, addresses: text === `/p2p/${peerId}` ? [] : [address] };
  } catch (error) {
    throw new PlasmError("usage", `Cannot read peer: ${text}`, {
      hint: "Give a peer id such as 12D3KooW..., or a multiaddr that ends with /p2p/<peer id>",
      cause: error,
    });
  }
}
