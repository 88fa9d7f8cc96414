/**
 * The command `plasm submit`: submits a job to the daemon.
 *
 * @module
 */
import type { Priority } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import { createClient, SOCKET_OPTION } from "../daemon_client.ts";
import { exec } from "./exec.ts";
import { readCheckedJob } from "../exec/mod.ts";
import { readWholeStdin } from "../host_files.ts";
import { printResult } from "../job_result.ts";
import { checkRemoteOptions, targetOf } from "../remote_options.ts";

/** Options of `plasm exec` that do not apply, or that the command defines again. */
const EXCLUDED: ReadonlySet<string> = new Set([
  ...["receipt", "bundle", "daemon", "pipe", "socket", "dir"],
  // The daemon has joined the network already, and stores output until it is verified.
  ...["bootstrap", "live", "ticket"],
  ...["arbitrate", "evidence"],
]);

const PRIORITIES = ["low", "normal", "high"] as const;

function priorityOf(text: string | undefined): Priority | undefined {
  if (text === undefined) return undefined;
  const found = PRIORITIES.find((priority) => priority === text);
  if (found !== undefined) return found;
  throw new PlasmError("usage", `Cannot use --priority ${escapeText(text)}: unknown priority`, {
    hint: `Use one of ${PRIORITIES.join(", ")}`,
  });
}

/**
 * Refuses places for outputs that this command does not write.
 *
 * @throws {PlasmError} `usage`
 */
function checkOutputs(args: ParsedArgs): void {
  const placed = args.strings("output").find((spec) => spec.includes(":"));
  if (args.flag("wait") || (placed === undefined && !args.flag("force"))) return;
  const option = placed === undefined ? "--force" : `--output ${escapeText(placed)}`;
  throw new PlasmError("usage", `Cannot use ${option} without --wait`, {
    hint: "Name the output only, and use plasm result --output DIR when the job has finished",
  });
}

/** Error of an interrupted wait, which does not cancel the job. */
function stillRuns(id: string): PlasmError {
  return new PlasmError("interrupted", `Stopped waiting: job ${id} continues in the daemon`, {
    hint: `Run plasm result ${id} to wait for it again, or plasm cancel ${id} to cancel it`,
    details: { job_id: id },
  });
}

/** Checks the name of a submitter, as the daemon does. @throws {PlasmError} `usage` */
function submitterName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text;
  throw new PlasmError("usage", `Cannot use name ${escapeText(text)}`, {
    hint: "Use up to 64 letters, digits, dots, dashes or underscores",
  });
}

/** `plasm submit` */
export const submit: Command = {
  spec: {
    name: "submit",
    summary: "Submit a job to the daemon",
    usage: "[OPTIONS] MODULE [-- ARG…]",
    description:
      "Sends a module, its inputs and standard input to the daemon, which queues the job, and prints " +
      "the job's id. The job is durable once its id is printed. Standard input is not read from a " +
      "terminal.",
    options: [
      ...exec.spec.options.filter(({ name }) => !EXCLUDED.has(name)),
      {
        name: "priority",
        kind: "string",
        placeholder: "P",
        complete: PRIORITIES,
        help: "Run at low, normal or high priority among your own jobs (default normal)",
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
        help: "Name the submitter; the queue serves submitters in turn (default none)",
        parse: submitterName,
      },
      {
        name: "wait",
        kind: "flag",
        help: "Wait for the job, print its output and exit with its status",
      },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1, complete: "file" },
    takesRest: true,
    examples: [
      { call: "echo -n hi | plasm submit hello.wasm", does: "Queue a job with input" },
      {
        call: "plasm submit --wait --timeout 300 app.wasm -- in.csv < in.csv",
        does: "Queue a job and print its output",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    checkRemoteOptions(args);
    checkOutputs(args);
    const { signal } = io;
    const waits = args.flag("wait");
    const { module, manifest, inputs, targets } = await readCheckedJob(args, io, {
      writesOutputs: waits,
    });
    using client = await createClient(args, io);
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
    if (waits) {
      try {
        return await printResult(client, job.id, { args, io, targets, inputs: manifest.inputs });
      } catch (error) {
        throw error instanceof PlasmError && error.code === "interrupted"
          ? stillRuns(job.id)
          : error;
      }
    }
    await io.write(args.flag("json") ? `${JSON.stringify(job)}\n` : `${job.id}\n`);
    return 0;
  },
};
