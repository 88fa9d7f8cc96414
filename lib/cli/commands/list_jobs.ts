/**
 * `plasm jobs`.
 * @module
 */
import type { JobState } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import type { Command } from "../command.ts";
import { ago, clientOf, standing, table } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

const STATES = ["queued", "running", "finished", "failed", "interrupted"] as const;

function stateOf(text: string | undefined): JobState | undefined {
  if (text === undefined) return undefined;
  const found = STATES.find((state) => state === text);
  if (found !== undefined) return found;
  throw new PlasmError("usage", `Cannot use --state: ${printable(text)}`, {
    hint: `It is one of ${STATES.join(", ")}`,
  });
}

/** The command. */
export const jobs: Command = {
  spec: {
    name: "jobs",
    summary: "List jobs of the daemon, newest first",
    usage: "[OPTIONS]",
    description: "Lists jobs that wait, run, or ended not too long ago.",
    options: [
      {
        name: "state",
        kind: "string",
        placeholder: "STATE",
        complete: STATES,
        help: "List only jobs in this state",
      },
      {
        name: "submitter",
        kind: "string",
        placeholder: "NAME",
        help: "List only jobs of this submitter",
      },
      {
        name: "limit",
        kind: "integer",
        placeholder: "N",
        help: "List at most N jobs, up to 1000 (default 20)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm jobs", does: "The last twenty" },
      { call: "plasm jobs --state running --json", does: "What runs, for a program" },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const { signal } = io;
    const page = await client.jobs({
      state: stateOf(args.string("state")),
      submitter: args.string("submitter"),
      limit: args.integer("limit") ?? 20,
      signal,
    });
    if (args.flag("json")) {
      await io.write(`${JSON.stringify(page)}\n`);
      return 0;
    }
    const rows = page.jobs.map((job) => [
      job.id,
      standing(job),
      `${ago(job.created_at)} ago`,
      job.priority,
      printable(job.submitter),
    ]);
    await io.write(table([["JOB", "STATE", "ACCEPTED", "PRIORITY", "SUBMITTER"], ...rows]));
    return 0;
  },
};
