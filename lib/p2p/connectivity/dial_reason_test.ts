import { assertEquals } from "@std/assert";
import { dialReasonOf } from "./dial_reason.ts";

function named(name: string, message = ""): Error {
  return Object.assign(new Error(message), { name });
}

Deno.test("dialReasonOf() describes errors of the runtime and of libp2p", () => {
  const peerId = "12D3KooWMPZr3F8Q2gFFxxYxhT3kcfGkdotzQidExneE3HQ8WP2F";
  const cases: [unknown, string][] = [
    [
      new Deno.errors.ConnectionRefused("Connection refused (os error 111)"),
      "connection refused",
    ],
    [
      new Error("failed to lookup address information: Name or service not known"),
      "host name not found",
    ],
    [new Error("No route to host (os error 113)"), "no route to host"],
    [
      named("UnexpectedEOFError", "Unexpected EOF"),
      "it closed the connection during the handshake",
    ],
    [named("HandshakeTimeoutError"), "it accepts connections but does not answer"],
    [new DOMException("The operation was aborted due to timeout", "TimeoutError"), "no answer"],
    [
      named("X", `Payload identity key ${peerId} does not match expected remote identity key Y`),
      `another peer answers: ${peerId}`,
    ],
    [new Error("Something else (os error 5)"), "Something else"],
    ["text", "text"],
    [
      new AggregateError([
        new Deno.errors.ConnectionRefused(""),
        new Deno.errors.ConnectionRefused(""),
        named("TimedOut"),
      ]),
      "connection refused; no answer",
    ],
  ];
  for (const [error, reason] of cases) assertEquals(dialReasonOf(error), reason);
});
