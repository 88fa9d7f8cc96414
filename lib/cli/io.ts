/**
 * What a command may touch of the process around it; tests give it another.
 * @module
 */
import type { InputReader } from "../util/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";

/** A permission that most commands can do without. */
export type DroppablePermission = "net" | "run" | "sys" | "write";

/** The process as a command sees it. */
export interface CliIo {
  /** Standard input, raw. */
  readonly stdin: ReadableStream<Uint8Array>;
  /** The same, for who has memory to read much of it into. */
  readonly stdinReader: InputReader;
  /** Whether standard input is a terminal. */
  readonly stdinIsTerminal: boolean;
  /** Whether messages go to a terminal, so that progress makes sense. */
  readonly stderrIsTerminal: boolean;
  /** Whether data goes to a terminal. */
  readonly stdoutIsTerminal: boolean;
  /** Whether colour is wanted. */
  readonly color: boolean;
  /** Columns of the terminal, or 80. */
  readonly columns: number;
  /** One environment variable. */
  env(name: string): string | undefined;
  /** Gives permissions up for the rest of the process. */
  drop(permissions: readonly DroppablePermission[]): void;
  /** Aborts on SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /**
   * Writes data.
   *
   * @throws {PlasmError} `output-closed` when the reader is gone.
   */
  write(data: Uint8Array | string): Promise<void>;
  /** Writes a message; a reader that is gone does not matter. */
  message(data: Uint8Array | string): Promise<void>;
}

/** The real process. */
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
          Deno.addSignalListener(name, () => stopped.abort());
        }
      }
      return stopped.signal;
    },
    async write(data) {
      try {
        await writeAll(Deno.stdout, data);
      } catch (error) {
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
        await writeAll(Deno.stderr, data);
      } catch {
        // Nobody is there to be told.
      }
    },
  };
}

async function writeAll(
  sink: { write(bytes: Uint8Array): Promise<number> },
  data: Uint8Array | string,
): Promise<void> {
  const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
  for (let at = 0; at < bytes.length;) at += await sink.write(bytes.subarray(at));
}

function terminalColumns(): number {
  try {
    return Deno.consoleSize().columns;
  } catch {
    return 80;
  }
}
