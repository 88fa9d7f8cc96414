/**
 * The commands for the network of the daemon: `plasm discover` and `plasm peers`.
 *
 * @module
 */
import type { FoundNodeJson } from "../../api/mod.ts";
import { ARCHITECTURES, parseArch } from "../../core/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import {
  ago,
  createClient,
  fittedTable,
  NO_TRUNC_OPTION,
  SOCKET_OPTION,
} from "../daemon_client.ts";

/** Fields of the signed document that the table shows; schemas/capability.json has all. */
interface ShownCapability {
  runtime: { arch: string };
  limits: { memory_mb: number };
  load: { running: number; slots: number };
}

function nodeRow(node: FoundNodeJson): string[] {
  const { runtime, limits, load } = node.capability as unknown as ShownCapability;
  return [
    node.peer_id,
    runtime.arch,
    `${limits.memory_mb} MB`,
    `${load.running}/${load.slots}`,
    `${Math.round(node.latency_ms)} ms`,
    `${node.transport}, ${node.path}`,
    node.score.toFixed(2),
  ].map((cell) => escapeText(cell));
}

/** `plasm discover` */
export const discover: Command = {
  spec: {
    name: "discover",
    summary: "Find nodes of the network that run jobs",
    usage: "[OPTIONS]",
    description:
      "Searches the network, through the daemon, for nodes that meet the criteria. Each node is printed " +
      "as soon as its signed capabilities have been fetched and verified; a table of all nodes, the best " +
      "first, follows at the end.",
    options: [
      {
        name: "arch",
        kind: "string",
        placeholder: "ARCH",
        parse: parseArch,
        complete: ARCHITECTURES,
        help: "Find only nodes of this processor architecture (default any)",
      },
      {
        name: "capability",
        kind: "string",
        placeholder: "NAME",
        repeat: true,
        help: "Find only nodes with this WebAssembly feature, such as simd (default any)",
      },
      {
        name: "min-memory",
        kind: "integer",
        placeholder: "N",
        help: "Find only nodes that allow a job N MiB of memory (default any)",
      },
      {
        name: "limit",
        kind: "integer",
        range: [1, 1000],
        placeholder: "N",
        help: "Stop after N nodes (default 10)",
      },
      {
        name: "timeout",
        kind: "integer",
        range: [1, 600],
        placeholder: "S",
        help: "Stop after S seconds (default 30)",
      },
      NO_TRUNC_OPTION,
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      {
        call: "plasm discover --arch aarch64 --limit 3",
        does: "Find three nodes with an ARM processor",
      },
      {
        call: "plasm discover --capability simd --min-memory 2048 --json",
        does: "Find nodes for a large job, one JSON object per line",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
    const capabilities = args.strings("capability");
    const found = client.discover({
      arch: args.string("arch"),
      features: capabilities.length === 0 ? undefined : [...capabilities],
      min_memory_mb: args.integer("min-memory"),
      limit: args.integer("limit"),
      timeout_seconds: args.integer("timeout"),
    }, { signal: io.signal });
    const nodes: FoundNodeJson[] = [];
    for await (const node of found) {
      if (args.flag("json")) await io.write(`${JSON.stringify(node)}\n`);
      else await io.message(`found ${escapeText(node.peer_id)} by ${escapeText(node.transport)}\n`);
      nodes.push(node);
    }
    if (!args.flag("json")) {
      nodes.sort((a, b) => b.score - a.score);
      const heading = ["NODE", "ARCH", "MEMORY", "RUNNING", "LATENCY", "BY", "SCORE"];
      await io.write(fittedTable([heading, ...nodes.map(nodeRow)], { args, io }));
    }
    if (nodes.length === 0) await io.message("No node was found that meets the criteria\n");
    return nodes.length === 0 ? 69 : 0;
  },
};

/** `plasm peers` */
export const peers: Command = {
  spec: {
    name: "peers",
    summary: "List the peers that the daemon is connected to",
    usage: "[OPTIONS]",
    description:
      "Lists open connections: transport, direct or relayed path, direction, latency of the latest " +
      "ping, age and address.",
    options: [NO_TRUNC_OPTION, SOCKET_OPTION],
    positionals: { min: 0, max: 0 },
    examples: [{ call: "plasm peers --json", does: "List connections as JSON" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
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
      ].map((cell) => escapeText(cell))
    );
    await io.write(fittedTable([heading, ...rows], { args, io }));
    return 0;
  },
};
