/**
 * `plasm status`: where a job stands, or the daemon itself.
 * @module
 */
import type { NodeJson } from "../../api/mod.ts";
import type { Command } from "../command.ts";
import { clientOf, jobTable, table } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** A daemon as lines; its addresses are what others give as `bootstrap`. */
export function nodeTable({ peer_id, runtime, load, network }: NodeJson): string {
  const addresses = network?.["addresses"];
  return table([
    ["peer id", peer_id],
    ["plasm", `${runtime.version}, ${runtime.engine}, ${runtime.arch}`],
    ["running", `${load.running} of ${load.concurrency}`],
    ["queued", `${load.queued} of ${load.queue_max}`],
    ["memory", `${load.memory_mb} of ${load.memory_budget_mb} MB`],
    ["network", network === null ? "off" : "on"],
    ...(Array.isArray(addresses) ? addresses : []).map((address) => ["address", String(address)]),
  ]);
}

/** The command. */
export const status: Command = {
  spec: {
    name: "status",
    summary: "Show the status of a job or of the daemon",
    usage: "[OPTIONS] [JOB]",
    description: "With a job, where it stands; without, who the daemon is and its load.",
    options: [SOCKET_OPTION],
    positionals: { min: 0, max: 1 },
    examples: [
      { call: "plasm status", does: "Is the daemon there, and is it busy" },
      { call: "plasm status --json JOB", does: "A job's state for a program" },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const { signal } = io;
    const id = args.positionals[0];
    if (id === undefined) {
      const node = await client.node({ signal });
      await io.write(args.flag("json") ? `${JSON.stringify(node)}\n` : nodeTable(node));
    } else {
      const job = await client.job(id, { signal });
      await io.write(args.flag("json") ? `${JSON.stringify(job)}\n` : jobTable(job));
    }
    return 0;
  },
};
