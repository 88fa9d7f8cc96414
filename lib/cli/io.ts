/**
 * Access of commands to their process: streams, terminal, environment, permissions and signals. Tests replace it.
 *
 * @module
 */
import { ERROR_CODES, PlasmError } from "../core/errors/mod.ts";
import { abortable, deadline } from "../util/async/mod.ts";
import { type InputReader, writeAll } from "../util/mod.ts";

/** Grace period of a pending write after an interrupt, in milliseconds. */
const WRITE_GRACE_MS = 500;

/** Creates the error of an interrupted command. */
export function commandInterrupted(): PlasmError {
  return new PlasmError("interrupted", "Stopped before the end: it was interrupted");
}

/** Waits for a write, after an interrupt no longer than {@linkcode WRITE_GRACE_MS}. */
async function orInterrupted(writing: Promise<void>, signal: AbortSignal): Promise<void> {
  let interrupted: PlasmError | undefined;
  try {
    await abortable(writing, { signal, error: () => interrupted = commandInterrupted() });
  } catch (error) {
    if (error !== interrupted) throw error;
    await deadline(writing, { ms: WRITE_GRACE_MS, error: commandInterrupted });
  }
}

/** A permission that most commands do not need. */
export type DroppablePermission = "net" | "run" | "sys" | "write";

/** The process of a command. */
export interface CliIo {
  /** Standard input. */
  readonly stdin: ReadableStream<Uint8Array>;
  /** Standard input for callers that provide the buffer. */
  readonly stdinReader: InputReader;
  /** Whether standard input is a terminal. */
  readonly stdinIsTerminal: boolean;
  /** Whether standard error is a terminal. */
  readonly stderrIsTerminal: boolean;
  /** Whether standard output is a terminal. */
  readonly stdoutIsTerminal: boolean;
  /** Whether to print colours on standard error. */
  readonly color: boolean;
  /** Width of the terminal, in columns; 80 without one. */
  readonly columns: number;
  /** Looks up an environment variable. */
  env(name: string): string | undefined;
  /** Revokes permissions for the rest of the process. */
  drop(permissions: readonly DroppablePermission[]): void;
  /** Aborts on SIGINT and SIGTERM. A second signal ends the process, whatever it waits for. */
  readonly signal: AbortSignal;
  /**
   * Writes to standard output. After an interrupt a pending write has half a second: its reader may never read.
   *
   * @throws {PlasmError} `output-closed` if its reader has closed it; `interrupted`; `state`
   */
  write(data: Uint8Array | string): Promise<void>;
  /** Writes to standard error. Never rejects. */
  message(data: Uint8Array | string): Promise<void>;
}

/** Accesses the real process. */
export function processIo(): CliIo {
  const stopped = new AbortController();
  let listening = false;
  return {
    get stdin() {
      return Deno.stdin.readable;
    },
    stdinReader: Deno.stdin,
    stdinIsTerminal: Deno.stdin.isTerminal(),
    stderrIsTerminal: Deno.stderr.isTerminal(),
    stdoutIsTerminal: Deno.stdout.isTerminal(),
    color: Deno.stderr.isTerminal() && !Deno.env.get("NO_COLOR"),
    get columns() {
      return terminalColumns();
    },
    env: (name) => Deno.env.get(name),
    drop(permissions) {
      for (const name of permissions) Deno.permissions.revokeSync({ name });
    },
    get signal() {
      if (!listening) {
        listening = true;
        for (const name of ["SIGINT", "SIGTERM"] as const) {
          Deno.addSignalListener(name, () => {
            if (stopped.signal.aborted) Deno.exit(ERROR_CODES.interrupted.exit);
            stopped.abort();
          });
        }
      }
      return stopped.signal;
    },
    async write(data) {
      try {
        await orInterrupted(writeAll(Deno.stdout, bytesOf(data)), stopped.signal);
      } catch (error) {
        if (error instanceof PlasmError) throw error;
        if (error instanceof Deno.errors.BrokenPipe) {
          throw new PlasmError("output-closed", "Cannot write to standard output: it was closed");
        }
        throw new PlasmError(
          "state",
          `Cannot write to standard output: ${error instanceof Error ? error.message : error}`,
        );
      }
    },
    async message(data) {
      try {
        await orInterrupted(writeAll(Deno.stderr, bytesOf(data)), stopped.signal);
      } catch {
        // There is no other place to report it.
      }
    },
  };
}

function bytesOf(data: Uint8Array | string): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}
