/**
 * `plasm peers`.
 * @module
 */
import { printable } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import { ago, clientOf, table } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** The command. */
export const peers: Command = {
  spec: {
    name: "peers",
    summary: "List the peers that the daemon is connected to",
    usage: "[OPTIONS]",
    description:
      "Lists open connections: transport, who dialled, the latest ping, and whether the path is " +
      "direct or by a relay.",
    options: [SOCKET_OPTION],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm peers --json", does: "The connections for a program" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const { signal } = io;
    const { peers } = await client.peers({ signal });
    if (args.flag("json")) {
      await io.write(`${JSON.stringify({ peers })}\n`);
      return 0;
    }
    const heading = ["PEER", "BY", "PATH", "DIRECTION", "LATENCY", "OPEN FOR", "ADDRESS"];
    const rows = peers.map((peer) =>
      [
        peer.peer_id,
        peer.transport,
        peer.path,
        peer.direction,
        peer.latency_ms === null ? "-" : `${Math.round(peer.latency_ms)} ms`,
        ago(peer.opened_at),
        peer.address,
      ].map((cell) => printable(cell))
    );
    await io.write(table([heading, ...rows]));
    return 0;
  },
};
