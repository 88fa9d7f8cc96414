/**
 * Reports what became of a job's output files: on standard error, in JSON and by the exit status.
 *
 * @module
 */
import type { LeftBehind } from "../../sandbox/mod.ts";
import { escapeText } from "../../util/mod.ts";
import type { CliIo } from "../io.ts";
import type { WrittenOutputs } from "./output_staging.ts";

/** Exit status if a declared output does not exist and the job itself succeeded. */
const EXIT_MISSING_OUTPUT = 66;

/** Most names in a message. */
const MAX_NAMES = 5;

/** What a report is about. */
export interface OutputsReport {
  /** What was written; undefined if the job has no outputs. */
  written: WrittenOutputs | undefined;
  /** What the job created and did not return. */
  leftBehind: LeftBehind | undefined;
}

/** The fields of `--json`. */
export function outputsJson({ written, leftBehind }: OutputsReport): Record<string, unknown> {
  return {
    ...(written === undefined ? {} : { outputs: written.files }),
    ...(written === undefined || written.missing.length === 0
      ? {}
      : { missing_outputs: written.missing }),
    ...(leftBehind === undefined ? {} : {
      left_behind: leftBehind.entries,
      ...(leftBehind.more > 0 ? { left_behind_more: leftBehind.more } : {}),
    }),
  };
}

/** Prints missing outputs, and on a terminal what the job left behind. */
export async function printOutputs(report: OutputsReport, io: CliIo): Promise<void> {
  const { written, leftBehind } = report;
  if (written !== undefined && written.missing.length > 0) {
    await io.message(`plasm: Output not found in the job's files: ${names(written.missing)}\n`);
    const kinds = new Set(leftBehind?.entries.map(({ path }) => path));
    const directories = written.missing.map((name) => `${name}/`).filter((name) => kinds.has(name));
    if (directories.length > 0) {
      await io.message(
        `plasm: The slash at the end of a directory is missing: --output ${names(directories)}\n`,
      );
    }
  }
  if (leftBehind === undefined || !io.stderrIsTerminal) return;
  const { entries, more } = leftBehind;
  const shown = entries.map(({ path, bytes }) => `${path} (${bytes} bytes)`);
  await io.message(
    `plasm: The job left files that were not returned: ${names(shown, more)}; use --output GUEST\n`,
  );
}

/** The exit status of a command: that of the job, unless it succeeded and an output is missing. */
export function exitStatusWith(
  { written }: Pick<OutputsReport, "written">,
  status: number,
): number {
  return status === 0 && (written?.missing.length ?? 0) > 0 ? EXIT_MISSING_OUTPUT : status;
}

function names(all: readonly string[], more = 0): string {
  const hidden = Math.max(all.length - MAX_NAMES, 0) + more;
  const shown = all.slice(0, MAX_NAMES).map((name) => escapeText(name)).join(", ");
  return hidden === 0 ? shown : `${shown} and ${hidden} more`;
}
