/**
 * Corrects the unit of the duration limit that a relay sends: circuit v2 has seconds, libp2p sends its own milliseconds.
 *
 * @module
 */
import { overlay } from "./libp2p_components.ts";

/** Limit of relayed connections. */
interface Limit {
  /** Duration; milliseconds in libp2p, seconds on the wire. */
  duration?: number | undefined;
}

/** Message of the hop or the stop protocol. */
interface Message {
  limit?: Limit | undefined;
}

interface MessageStream {
  pb(codec: unknown): {
    write(message: Message, ...options: unknown[]): Promise<void>;
  };
}

/** Methods of libp2p's relay service that send limits. */
export interface RelayService {
  /** Answers the request of a client that reserves or connects. */
  handleHopProtocol(
    exchange: { stream: MessageStream },
    ...options: unknown[]
  ): Promise<void>;
  /** Requests that a node with a reservation accepts a connection. */
  stopHop(call: { request: Message }, ...options: unknown[]): Promise<unknown>;
}

/** Makes a relay service send duration limits in seconds; its own timers keep milliseconds. */
export function sendLimitsInSeconds<T>(service: T): T {
  const relay = service as RelayService;
  const handle = relay.handleHopProtocol.bind(relay);
  const stop = relay.stopHop.bind(relay);
  relay.handleHopProtocol = ({ stream, ...exchange }, ...options) =>
    handle({ ...exchange, stream: convertingStream(stream) }, ...options);
  relay.stopHop = ({ request, ...call }, ...options) =>
    stop({ ...call, request: inSeconds(request) }, ...options);
  return service;
}

function convertingStream(stream: MessageStream): MessageStream {
  return overlay(stream, {
    pb(codec) {
      const messages = stream.pb(codec);
      return overlay(messages, {
        write: (message, ...options) => messages.write(inSeconds(message), ...options),
      });
    },
  });
}

function inSeconds(message: Message): Message {
  const { limit } = message;
  if (limit?.duration === undefined) return message;
  return { ...message, limit: { ...limit, duration: Math.ceil(limit.duration / 1000) } };
}
