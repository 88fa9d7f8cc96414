/**
 * The commands for jobs of the daemon: `plasm jobs`, `status`, `result`, `logs` and `cancel`.
 *
 * @module
 */
import type { JobJson, JobState, NodeJson } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { DaemonClient } from "../../client/mod.ts";
import type { Command, ParsedArgs } from "../command.ts";
import {
  ago,
  createClient,
  fittedTable,
  NO_TRUNC_OPTION,
  SOCKET_OPTION,
  table,
} from "../daemon_client.ts";
import { checkTarget } from "../host_files.ts";
import { printResult } from "../job_result.ts";
import { checkOutputTargets, directoryTarget, type OutputTarget } from "../output_files/mod.ts";

const STATES = ["queued", "running", "finished", "failed", "interrupted"] as const;

function stateOf(text: string | undefined): JobState | undefined {
  if (text === undefined) return undefined;
  const found = STATES.find((state) => state === text);
  if (found !== undefined) return found;
  throw new PlasmError("usage", `Cannot use --state ${escapeText(text)}: unknown state`, {
    hint: `Use one of ${STATES.join(", ")}`,
  });
}

/** Describes a job's state in a few words. */
function describeState(job: JobJson): string {
  if (job.state === "queued") return `queued at ${(job.position ?? 0) + 1}`;
  if (job.state !== "finished") return job.state;
  return job.status === "exited" ? `exited ${job.exit_code}` : job.status ?? "finished";
}

/** Formats a job as a table of its fields. */
function jobTable(job: JobJson): string {
  const rows: [string, string | number | null][] = [
    ["job", job.id],
    ["state", describeState(job)],
    ["why", job.error?.message ?? job.message],
    ["submitter", job.submitter],
    ["priority", job.priority],
    ["module", job.module_hash],
    ["accepted", job.created_at],
    ["started", job.started_at],
    ["ended", job.finished_at],
    ["attempts", job.attempts > 1 ? job.attempts : null],
    ["stdout", `${job.stdout_bytes} bytes`],
    ["stderr", `${job.stderr_bytes} bytes`],
  ];
  return table(
    rows.filter(([, value]) => value !== null).map((
      [name, value],
    ) => [name, escapeText(`${value}`)]),
  );
}

/** Maximum number of submitters in the table; --json lists more. */
const MAX_SUBMITTERS = 10;

/** Formats a node as a table, with its addresses, which other nodes can use as `bootstrap`. */
export function nodeTable(
  { peer_id, public_key, runtime, load, usage, network, listening }: NodeJson,
): string {
  const addresses = network?.["addresses"];
  const used = usage.slice(0, MAX_SUBMITTERS).map((one) => [
    "used by",
    `${
      escapeText(one.submitter)
    }: ${one.jobs} jobs, ${one.cpu_seconds} s CPU, ${one.output_bytes} bytes output`,
  ]);
  return table([
    ["peer id", peer_id],
    ["public key", public_key],
    ["plasm", `${runtime.version}, ${runtime.engine}, ${runtime.arch}`],
    ["running", `${load.running} of ${load.concurrency}`],
    ["queued", `${load.queued} of ${load.queue_max}`],
    ["memory", `${load.memory_mb} of ${load.memory_budget_mb} MB`],
    ...used,
    ["socket", listening.socket],
    ...(listening.tcp === null ? [] : [["tcp", listening.tcp]]),
    ...(listening.metrics === null ? [] : [["metrics", listening.metrics]]),
    ["network", network === null ? "off" : "on"],
    ...(Array.isArray(addresses) ? addresses : []).map((address) => ["address", String(address)]),
    ...availabilityRows(network?.["availability"]),
    ...auditRows(network?.["audit"]),
  ]);
}

/** State of audits, as `GET /v1/node` has it. */
interface AuditStatus {
  reproduced: number;
  false: number;
  waiting: number;
  banned: { peer_id: string; until: string }[];
  false_results: { peer_id: string; job_id: string; evidence: string | null }[];
}

/** Rows about audits of other nodes; none before the first. */
function auditRows(audit: unknown): [string, string][] {
  if (typeof audit !== "object" || audit === null) return [];
  const { reproduced, false: wrong, waiting, banned, false_results } = audit as AuditStatus;
  if (reproduced + wrong + waiting + banned.length === 0) return [];
  return [
    ["audits", `${reproduced} reproduced, ${wrong} false, ${waiting} waiting`],
    ...banned.map(({ peer_id, until }): [string, string] => [
      "banned",
      `${escapeText(peer_id)} until ${escapeText(until)}`,
    ]),
    ...false_results.map(({ peer_id, job_id, evidence }): [string, string] => [
      "false",
      `job ${escapeText(job_id)} by ${escapeText(peer_id)}${
        evidence === null ? "" : `: plasm verify ${escapeText(evidence)}`
      }`,
    ]),
  ];
}

/** Whether the node runs jobs of peers now, and why not or not on all cores. */
function availabilityRows(availability: unknown): string[][] {
  if (typeof availability !== "object" || availability === null) return [];
  const { accepting, reason, cores } = availability as {
    accepting: boolean;
    reason: string | null;
    cores: number;
  };
  const limit = typeof reason === "string" ? ` (network.policy: ${escapeText(reason)})` : "";
  return [["peers' jobs", (accepting ? `accepted on ${cores} cores` : "not accepted") + limit]];
}

/** `plasm jobs` */
export const jobs: Command = {
  spec: {
    name: "jobs",
    summary: "List jobs of the daemon, newest first",
    usage: "[OPTIONS]",
    description: "Lists queued and running jobs, and finished jobs that the daemon still stores.",
    options: [
      {
        name: "state",
        kind: "string",
        placeholder: "STATE",
        complete: STATES,
        help: "List only jobs in this state (default all)",
      },
      {
        name: "submitter",
        kind: "string",
        placeholder: "NAME",
        help: "List only jobs of this submitter (default all)",
      },
      {
        name: "limit",
        kind: "integer",
        range: [1, 1000],
        placeholder: "N",
        help: "List at most N jobs, up to 1000 (default 20)",
      },
      NO_TRUNC_OPTION,
      SOCKET_OPTION,
    ],
    positionals: { min: 0, max: 0 },
    examples: [
      { call: "plasm jobs", does: "List the latest 20 jobs" },
      { call: "plasm jobs --state running --json", does: "List running jobs as JSON" },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
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
      describeState(job),
      `${ago(job.created_at)} ago`,
      job.priority,
      escapeText(job.submitter),
    ]);
    await io.write(
      fittedTable([["JOB", "STATE", "ACCEPTED", "PRIORITY", "SUBMITTER"], ...rows], { args, io }),
    );
    return 0;
  },
};

/** `plasm status` */
export const status: Command = {
  spec: {
    name: "status",
    summary: "Show the status of a job or of the daemon",
    usage: "[OPTIONS] [JOB]",
    description: "With JOB: the job's state. Without: the daemon's identity, version, load and " +
      "its use by submitter.",
    options: [SOCKET_OPTION],
    positionals: { min: 0, max: 1, complete: { words: "jobs" } },
    examples: [
      { call: "plasm status", does: "Check whether the daemon runs, and its load" },
      { call: "plasm status --json JOB", does: "Show a job's state as JSON" },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
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

/** The directory of `--output` as a target for all outputs of a job. */
async function targetsOf(
  client: DaemonClient,
  id: string,
  { args, signal }: { args: ParsedArgs; signal: AbortSignal },
): Promise<OutputTarget[]> {
  const host = args.string("output");
  if (host === undefined) return [];
  const { manifest: { outputs = [] } } = await client.job(id, { signal });
  if (outputs.length === 0) {
    throw new PlasmError("usage", `Cannot write outputs: job ${escapeText(id)} declares none`, {
      hint: "Submit it with --output GUEST",
    });
  }
  const targets = [directoryTarget(host, { outputs, force: args.flag("force") })];
  await checkOutputTargets(targets);
  return targets;
}

/** `plasm result` */
export const result: Command = {
  spec: {
    name: "result",
    summary: "Wait for a job and print its output",
    usage: "[OPTIONS] JOB",
    description:
      "Waits until the job has finished, verifies its receipt with the daemon's key and the received " +
      "output, prints the output and exits with the job's exit code, or 124, 130, 134 or 137 as " +
      "plasm exec does.",
    options: [
      {
        name: "receipt",
        kind: "string",
        placeholder: "FILE",
        complete: "file",
        help: "Write the signed receipt to a file (default none)",
      },
      {
        name: "output",
        kind: "string",
        placeholder: "DIR",
        complete: "file",
        help: "Write the job's output files into a directory by their paths (default: not written)",
      },
      { name: "force", kind: "flag", help: "Let outputs replace existing files" },
      SOCKET_OPTION,
    ],
    positionals: { min: 1, max: 1, complete: { words: "jobs" } },
    examples: [
      {
        call: 'plasm result "$(plasm submit hello.wasm < in)" > out',
        does: "Run a job through the daemon",
      },
      {
        call: 'plasm result --output built "$(plasm submit --output public/ build.wasm)"',
        does: "Run a job and write its output files to built/public",
      },
    ],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
    const path = args.string("receipt");
    if (path !== undefined) await checkTarget(path, "receipt");
    const { signal } = io;
    const id = args.positionals[0]!;
    // Fails at once without a daemon: the events of a job wait for one that restarts.
    await client.job(id, { signal });
    const targets = await targetsOf(client, id, { args, signal });
    return await printResult(client, id, { args, io, targets });
  },
};

/** `plasm logs` */
export const logs: Command = {
  spec: {
    name: "logs",
    summary: "Print the output of a job, also while it runs",
    usage: "[OPTIONS] JOB",
    description:
      "Prints the job's stdout to standard output and its stderr to standard error. With --follow it " +
      "streams until the job finishes, across restarts of the daemon. With --json it prints the job's " +
      "events, one per line, with output in base64.",
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
    positionals: { min: 1, max: 1, complete: { words: "jobs" } },
    examples: [{ call: "plasm logs --follow JOB", does: "Stream the output of a running job" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
    const { signal } = io;
    const id = args.positionals[0]!;
    // Fails at once without a daemon: the events of a job wait for one that restarts.
    await client.job(id, { signal });
    const events = client.events(id, {
      follow: args.flag("follow"),
      after: args.integer("after"),
      signal,
    });
    for await (const event of events) {
      if (args.flag("json")) {
        await io.write(`${JSON.stringify(event)}\n`);
      } else if (event.type === "stdout") await io.write(Uint8Array.fromBase64(event.data));
      else if (event.type === "stderr") await io.message(Uint8Array.fromBase64(event.data));
      else if (event.type === "interrupted" && event.rerun) {
        await io.message("plasm: The node stopped; the job runs again from the start\n");
      }
    }
    return 0;
  },
};

/** `plasm cancel` */
export const cancel: Command = {
  spec: {
    name: "cancel",
    summary: "Cancel jobs of the daemon",
    usage: "[OPTIONS] JOB…",
    description:
      "Cancels each job, queued or running, waits until it has finished and prints its state. A job " +
      "that has finished before does not change.",
    options: [SOCKET_OPTION],
    positionals: { min: 1, max: 1000, complete: { words: "jobs" } },
    examples: [{ call: "plasm cancel JOB", does: "Cancel a job" }],
  },
  drops: () => ["run", "sys"],
  async run(args, io): Promise<number> {
    using client = await createClient(args, io);
    for (const id of args.positionals) {
      const job = await client.cancel(id, { signal: io.signal });
      await io.write(
        args.flag("json") ? `${JSON.stringify(job)}\n` : `${id}  ${describeState(job)}\n`,
      );
    }
    return 0;
  },
};
