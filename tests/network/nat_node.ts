/**
 * A node as a process of its own, for a network namespace: events and answers as JSON lines on
 * standard output, commands as JSON lines on standard input.
 *
 * @module
 */
import { ephemeralIdentity } from "../../lib/identity.ts";
import { createNetwork, type NetworkOptions } from "../../lib/network/network.ts";
import { FIELDS } from "./fixtures.ts";

/** What a node is told by its first argument. */
export type NodeArguments = Pick<
  NetworkOptions,
  "listen" | "announce" | "bootstrap" | "nat" | "mode" | "allowPrivate" | "mdns"
>;

/** What it is told on standard input. */
export type NodeCommand = { ask: string } | { publish: true } | { discover: true } | { stop: true };

async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream() as never)) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

function say(message: unknown): void {
  console.log(JSON.stringify(message));
}

if (import.meta.main) {
  const node = await createNetwork({
    identity: await ephemeralIdentity(),
    log: say,
    ...JSON.parse(Deno.args[0]!) as NodeArguments,
  });
  say({ event: "up", peer_id: node.peerId });
  for await (const line of readLines(Deno.stdin.readable)) {
    const command = JSON.parse(line) as NodeCommand;
    if ("stop" in command) break;
    try {
      if ("publish" in command) await node.publish(FIELDS);
      if ("discover" in command) {
        for await (const { peerId, path } of node.discover({}, { limit: 1 })) {
          say({ event: "discovered", peer_id: peerId, path });
        }
      }
      if ("ask" in command) {
        const { peerId, path, transport } = await node.ask(command.ask);
        say({ event: "answer", peer_id: peerId, path, transport });
      }
    } catch (error) {
      say({ event: "failed", reason: String(error) });
    }
  }
  await node.stop();
  Deno.exit(0); // libp2p keeps the event loop alive.
}
