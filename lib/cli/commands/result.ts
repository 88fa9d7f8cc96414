/**
 * `plasm result`: waits for a job and ends as it did.
 * @module
 */
import type { Command } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import { printResult } from "../job_result.ts";
import { checkReceiptPath } from "../receipt_file.ts";
import { SOCKET_OPTION } from "../socket_option.ts";

/** The command. */
export const result: Command = {
  spec: {
    name: "result",
    summary: "Wait for a job and print its output",
    usage: "[OPTIONS] JOB",
    description:
      "Waits until the job has finished, checks its receipt against the daemon's key and the output that " +
      "came, prints the output and exits with the job's own code; 124, 130, 134 and 137 as " +
      "plasm exec.",
    options: [
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1 },
    examples: [
      {
        call: 'plasm result "$(plasm submit hello.wasm < in)" > out',
        does: "Run a job by way of the daemon",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = clientOf(args, io);
    const path = args.string("receipt");
    if (path !== undefined) await checkReceiptPath(path);
    return await printResult(client, args.positionals[0]!, { args, io });
  },
};
