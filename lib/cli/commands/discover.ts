/**
 * `plasm discover`.
 * @module
 */
import type { FoundNodeJson } from "../../api/mod.ts";
import { printable } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import { clientOf, table } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** The command. */
export const discover: Command = {
  spec: {
    name: "discover",
    summary: "Find nodes of the network that run jobs",
    usage: "[OPTIONS]",
    description:
      "Asks the daemon to look in the network for nodes that offer what is asked. Each is printed " +
      "as soon as its signed capabilities have been fetched and verified; a table of all, the best " +
      "first, comes at the end.",
    options: [
      {
        name: "arch",
        kind: "string",
        placeholder: "ARCH",
        complete: ["x86_64", "aarch64"],
        help: "Find only nodes of this processor architecture",
      },
      {
        name: "capability",
        kind: "string",
        placeholder: "NAME",
        repeat: true,
        help: "Find only nodes with this WebAssembly feature, such as simd",
      },
      {
        name: "min-memory",
        kind: "integer",
        placeholder: "N",
        help: "Find only nodes that allow a job this much memory, in MiB",
      },
      {
        name: "limit",
        kind: "integer",
        placeholder: "N",
        help: "Stop after N nodes (default 10)",
      },
      {
        name: "timeout",
        kind: "integer",
        placeholder: "S",
        help: "Stop after N seconds (default 30)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      {
        call: "plasm discover --arch aarch64 --limit 3",
        does: "Three nodes with an ARM processor",
      },
      {
        call: "plasm discover --capability simd --min-memory 2048 --json",
        does: "Nodes for a large job, one JSON object a line",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
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
      else await io.message(`found ${printable(node.peer_id)} by ${printable(node.transport)}\n`);
      nodes.push(node);
    }
    if (!args.flag("json")) {
      nodes.sort((a, b) => b.score - a.score);
      const heading = ["NODE", "ARCH", "MEMORY", "RUNNING", "LATENCY", "BY", "SCORE"];
      await io.write(table([heading, ...nodes.map(row)]));
    }
    if (nodes.length === 0) await io.message("No node was found that offers this\n");
    return nodes.length === 0 ? 69 : 0;
  },
};

/** The part of the signed document that the table shows; schemas/capability.json has it all. */
interface ShownCapability {
  runtime: { arch: string };
  limits: { memory_mb: number };
  load: { running: number; slots: number };
}

function row(node: FoundNodeJson): string[] {
  const { runtime, limits, load } = node.capability as unknown as ShownCapability;
  return [
    node.peer_id,
    runtime.arch,
    `${limits.memory_mb} MB`,
    `${load.running}/${load.slots}`,
    `${Math.round(node.latency_ms)} ms`,
    `${node.transport}, ${node.path}`,
    node.score.toFixed(2),
  ].map((cell) => printable(cell));
}
