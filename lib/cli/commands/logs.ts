/**
 * `plasm logs`: what a job writes, as it writes it.
 * @module
 */
import type { Command } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** The command. */
export const logs: Command = {
  spec: {
    name: "logs",
    summary: "Print the output of a job, also while it runs",
    usage: "[OPTIONS] JOB",
    description:
      "Prints the job's stdout to standard output and its stderr to standard error. With --follow it " +
      "goes on until the job is over, also over a restart of the daemon. With --json it prints the " +
      "job's events, one a line, output in base64.",
    options: [
      { name: "follow", kind: "flag", help: "Stream until the job finishes" },
      {
        name: "after",
        kind: "integer",
        placeholder: "ID",
        help: "Print only events after this id (default 0)",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1 },
    examples: [{ call: "plasm logs --follow JOB", does: "Watch a job" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const { signal } = io;
    const events = client.events(args.positionals[0]!, {
      follow: args.flag("follow"),
      after: args.integer("after"),
      signal,
    });
    for await (const event of events) {
      if (args.flag("json")) {
        const line = "data" in event ? { ...event, data: event.data.toBase64() } : event;
        await io.write(`${JSON.stringify(line)}\n`);
      } else if (event.type === "stdout") await io.write(event.data);
      else if (event.type === "stderr") await io.message(event.data);
      else if (event.type === "interrupted" && event.rerun) {
        await io.message("plasm: the node stopped; the job begins anew\n");
      }
    }
    return 0;
  },
};
