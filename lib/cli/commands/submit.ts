/**
 * `plasm submit`: gives a job to the daemon.
 * @module
 */
import type { Priority } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Command } from "../command.ts";
import { clientOf } from "../daemon_client.ts";
import { SOCKET_OPTION } from "../socket_option.ts";
import { exec } from "./exec.ts";
import { readExecJob } from "../exec/mod.ts";
import { printResult } from "../job_result.ts";
import { checkRemoteOptions, targetOf } from "../remote_options.ts";
import { readWholeStdin } from "../stdin.ts";

/** Options of `plasm exec` that mean nothing here, or are listed again. */
const NOT_HERE: ReadonlySet<string> = new Set([
  ...["receipt", "daemon", "pipe", "socket"],
  // The daemon is in the network already, and holds output until it is verified.
  ...["bootstrap", "live", "ticket"],
]);

const PRIORITIES = ["low", "normal", "high"] as const;

function priorityOf(text: string | undefined): Priority | undefined {
  if (text === undefined) return undefined;
  const found = PRIORITIES.find((priority) => priority === text);
  if (found !== undefined) return found;
  throw new PlasmError("usage", `Cannot use --priority: ${text}`, {
    hint: `It is one of ${PRIORITIES.join(", ")}`,
  });
}

/** The command. */
export const submit: Command = {
  spec: {
    name: "submit",
    summary: "Submit a job to the daemon",
    usage: "[OPTIONS] MODULE [-- ARG…]",
    description:
      "Sends a module, its inputs and standard input to the daemon, which queues the job, and prints " +
      "the job's id. Once that is printed, no crash of the daemon loses the job. On a terminal " +
      "standard input is not read.",
    options: [
      ...exec.spec.options.filter(({ name }) => !NOT_HERE.has(name)),
      {
        name: "priority",
        kind: "string",
        placeholder: "P",
        complete: PRIORITIES,
        help: "low, normal or high, among your own jobs (default normal)",
      },
      {
        name: "idempotent",
        kind: "flag",
        help: "Allow a re-run if a crash makes it unclear whether the job ran",
      },
      {
        name: "submitter",
        kind: "string",
        placeholder: "NAME",
        help: "Name the submitter; the queue takes submitters in turn",
      },
      { name: "wait", kind: "flag", help: "Wait for the job and exit with its status" },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      { call: "echo -n hi | plasm submit hello.wasm", does: "Queue a job with some input" },
      {
        call: "plasm submit --wait --timeout 600 app.wasm -- in.csv < in.csv",
        does: "Queue a job and wait for its output",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    checkRemoteOptions(args);
    using client = clientOf(args, io);
    const { signal } = io;
    const { module, manifest, inputs } = await readExecJob(args, io);
    const stdin = await readWholeStdin(io);
    const { module_hash: _hash, inputs: _inputs, ...fields } = manifest;
    const job = await client.submit(module, {
      manifest: {
        ...fields,
        priority: priorityOf(args.string("priority")) ?? manifest.priority,
        idempotent: args.flag("idempotent") || manifest.idempotent,
      },
      ...(Object.keys(inputs).length === 0 ? {} : { inputs }),
      stdin,
      submitter: args.string("submitter"),
      target: targetOf(args),
      signal,
    });
    if (args.flag("wait")) return await printResult(client, job.id, { args, io });
    await io.write(args.flag("json") ? `${JSON.stringify(job)}\n` : `${job.id}\n`);
    return 0;
  },
};
