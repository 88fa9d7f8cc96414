/**
 * What the commands that talk to a daemon share.
 * @module
 */
import type { JobJson } from "../api/mod.ts";
import { connectDaemon, type DaemonClient } from "../client/mod.ts";
import { printable } from "../util/mod.ts";
import type { ParsedArgs } from "./command.ts";
import type { CliIo } from "./io.ts";

/**
 * A client of the daemon that the command line names.
 *
 * @throws {PlasmError} `no-daemon`
 */
export function clientOf(args: ParsedArgs, io: CliIo): DaemonClient {
  return connectDaemon({ socket: args.string("socket"), env: (name) => io.env(name) });
}

/** Rows as columns, for people. The last column is not padded. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => (row[at] ?? "").length))
  );
  return rows.map((row) =>
    `${
      row.map((cell, at) => at === row.length - 1 ? cell : cell.padEnd(widths[at] ?? 0)).join("  ")
    }\n`
  ).join("");
}

/** How a job stands, in a few words. */
export function standing(job: JobJson): string {
  if (job.state === "queued") return `queued at ${(job.position ?? 0) + 1}`;
  if (job.state !== "finished") return job.state;
  return job.status === "exited" ? `exited ${job.exit_code}` : job.status ?? "finished";
}

/** A job's fields and values, for people. */
export function jobTable(job: JobJson): string {
  const rows: [string, string | number | null][] = [
    ["job", job.id],
    ["state", standing(job)],
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
    ) => [name, printable(`${value}`)]),
  );
}

/** Time since, in its largest unit. */
export function ago(time: string, now: number = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}
