/**
 * Runs guests of this folder's tests in an executor, past the same inspection as every module.
 * @module
 */
import type { Executor } from "../../lib/sandbox/executor.ts";
import { inspectModule } from "../../lib/sandbox/inspect/inspect.ts";
import type { SandboxJob, SandboxOutcome } from "../../lib/sandbox/types.ts";
import { command, type CommandOptions, HOSTILE_LIMITS } from "../hostile/case.ts";
import { assemble } from "../hostile/wat.ts";

/** How a guest ended and what it wrote. */
export interface GuestEnd {
  outcome: SandboxOutcome;
  stdout: Uint8Array;
  stderr: Uint8Array;
}

/** What is given to a guest besides its module. */
export type GuestJob = Partial<Pick<SandboxJob, "args" | "env" | "stdin" | "inputs">>;

/** Assembles a command whose `_start` is `code`. */
export function guest(
  code: string,
  options: CommandOptions = {},
): Promise<Uint8Array<ArrayBuffer>> {
  return assemble(command(code, options));
}

/** Runs a module to its end. Throws a PlasmError where it is refused. */
export async function runGuest(
  executor: Executor,
  module: Uint8Array,
  job: GuestJob = {},
): Promise<GuestEnd> {
  const { bytes } = inspectModule(module, HOSTILE_LIMITS);
  const output: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
  const whole = (parts: Uint8Array[]): Promise<Uint8Array> =>
    new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
  for await (
    const event of executor.run({
      module: bytes,
      args: [],
      env: {},
      limits: HOSTILE_LIMITS,
      ...job,
    })
  ) {
    if (event.type === "finished") {
      const { outcome } = event;
      return { outcome, stdout: await whole(output.stdout), stderr: await whole(output.stderr) };
    }
    // A view of the pipe's buffer: taken before the next read.
    if (event.type !== "started") output[event.type].push(event.data.slice());
  }
  throw new Error("The guest ended without an end");
}

/** Leaves with `code` unless the condition holds. */
export function check(condition: string, code: number): string {
  return `(if (i32.eqz ${condition}) (then (call $proc_exit (i32.const ${code}))))`;
}

/** Text as a WAT string that stands for exactly these bytes. */
export function watString(bytes: Uint8Array): string {
  return [...bytes].map((byte) => `\\${byte.toString(16).padStart(2, "0")}`).join("");
}

/** WAT that writes `length` bytes at `address` to a descriptor; uses the first 16 bytes. */
export function writeOut(fd: number, address: number, length: number): string {
  return `(i32.store (i32.const 0) (i32.const ${address}))
    (i32.store (i32.const 4) (i32.const ${length}))
    (drop (call $fd_write (i32.const ${fd}) (i32.const 0) (i32.const 1) (i32.const 8)))`;
}
