/**
 * Describes why a dial failed, in words that do not depend on libp2p or the runtime.
 *
 * @module
 */
import { reasonOf } from "../network_events.ts";

/** Descriptions of errors by name. */
const BY_NAME: Readonly<Record<string, string>> = {
  ConnectionRefused: "connection refused",
  ConnectionReset: "it closed the connection during the handshake",
  HandshakeTimeoutError: "it accepts connections but does not answer",
  TimeoutError: "no answer",
  AbortError: "no answer",
  TimedOut: "no answer",
  DialDeniedError: "the allowlist or denylist denies it",
  ConnectionDeniedError: "the allowlist or denylist denies it",
  NoValidAddressesError: "no address that can be dialed; use /tcp/ or /udp/…/noise",
  UnsupportedProtocolError: "it speaks another protocol",
};

/** Descriptions of errors by message, for those whose name says less. */
const BY_MESSAGE: readonly (readonly [RegExp, string])[] = [
  [/^failed to lookup address information/i, "host name not found"],
  [/^no route to host/i, "no route to host"],
  [/^network is unreachable/i, "network unreachable"],
  // libp2p wraps the error of a handshake and keeps its message.
  [
    /^(connection reset|broken pipe|unexpected EOF|stream (closed|reset))/i,
    "it closed the connection during the handshake",
  ],
  [/^Payload identity key (\w+) does not match/, "another peer answers: $1"],
];

/** Describes why a dial failed: one reason, or several if the addresses of a peer failed differently. */
export function dialReasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(dialReasonOf))].join("; ").slice(0, 300);
  }
  const message = reasonOf(error).replace(/ \(os error \d+\)$/, "");
  for (const [pattern, text] of BY_MESSAGE) {
    const match = pattern.exec(message);
    if (match !== null) return text.replace("$1", match[1] ?? "");
  }
  const name = error instanceof Error ? error.name : "";
  return Object.hasOwn(BY_NAME, name) ? BY_NAME[name]! : message;
}
