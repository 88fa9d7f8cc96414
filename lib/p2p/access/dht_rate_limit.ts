/**
 * How much of the DHT one peer may use: without it a single one could keep a node busy with requests, all of
 * them well-formed.
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { type Libp2pComponents, overlay } from "../patches/libp2p_components.ts";
import { RateLimiter } from "../../util/mod.ts";

/** Bytes of requests that count as one: about what the smallest has. A long stream is many requests. */
const UNIT_BYTES = 64;

/** A stream costs both sides more than a request does. */
const STREAM_UNITS = 8;

/** What an honest peer needs at once: it looks for itself, provides all its topics, and refreshes. */
const BURST_UNITS = 4096;
const UNITS_PER_SECOND = 256;

/** Takes a stream of a protocol. */
type Handler = (stream: Stream, connection: Connection) => void | Promise<void>;

/** Called for each stream that is refused or cut off. */
export type OnRefused = (refusal: { peerId: string; reason: string }) => void;

/** The components, as the DHT sees them: each peer's requests are within its rate. */
export function limitRequests(
  components: Libp2pComponents,
  onRefused: OnRefused,
  limiter: RateLimiter = new RateLimiter({ burst: BURST_UNITS, perSecond: UNITS_PER_SECOND }),
): Libp2pComponents {
  const { registrar } = components;
  const guard = (handler: Handler): Handler => (stream, connection) => {
    const peerId = connection.remotePeer.toString();
    const take = (units: number): boolean => {
      if (limiter.take(peerId, units)) return true;
      const reason = `more than ${UNITS_PER_SECOND * UNIT_BYTES} bytes of requests a second`;
      // One that was cut off may still have something under way, which is not told again.
      if (stream.status === "open") onRefused({ peerId, reason });
      stream.abort(new Error(reason));
      return false;
    };
    if (!take(STREAM_UNITS)) return;
    const handled = handler(stream, connection);
    // After the handler: what has come waits for the first listener, and is for the DHT.
    stream.addEventListener("message", ({ data }) => {
      take(Math.ceil(data.byteLength / UNIT_BYTES));
    });
    return handled;
  };
  const handle: Libp2pComponents["registrar"]["handle"] = (protocol, handler, options) =>
    registrar.handle(protocol, guard(handler), options);
  return overlay(components, { registrar: overlay(registrar, { handle }) });
}
