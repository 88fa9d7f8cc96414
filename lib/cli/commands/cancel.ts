/**
 * `plasm cancel`.
 * @module
 */
import type { Command } from "../command.ts";
import { clientOf, standing } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** The command. */
export const cancel: Command = {
  spec: {
    name: "cancel",
    summary: "Cancel jobs of the daemon",
    usage: "[OPTIONS] JOB…",
    description:
      "Stops each job, whether it waits or runs, and prints how it stands once it is over. A job that " +
      "was over before stays as it was.",
    options: [SOCKET_OPTION],
    positionals: { min: 1, max: 1000 },
    examples: [{ call: "plasm cancel JOB", does: "Stop a job" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    for (const id of args.positionals) {
      const job = await client.cancel(id, { signal: io.signal });
      await io.write(args.flag("json") ? `${JSON.stringify(job)}\n` : `${id}  ${standing(job)}\n`);
    }
    return 0;
  },
};
