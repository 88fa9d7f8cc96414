/**
 * Modules and limits that several of the sandbox's tests use.
 * @module
 */
import wabt from "wabt";
import { DEFAULT_RESOURCES } from "../job/manifest.ts";
import { DEFAULT_CEILINGS, limitsOf } from "./limits.ts";
import type { SandboxEvent, SandboxJob, SandboxLimits, SandboxOutcome } from "./types.ts";

/** Assembles a command module: its memory is there, the body is that of `_start`. */
export async function command(body: string, globals = ""): Promise<Uint8Array> {
  const { parseWat } = await wabt();
  const module = parseWat(
    "test.wat",
    `(module
      (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (memory (export "memory") 2) ${globals}
      (func (export "_start") ${body}))`,
    { exceptions: true },
  );
  try {
    return new Uint8Array(module.toBinary({}).buffer);
  } finally {
    module.destroy();
  }
}

/** WAT that writes `count` bytes from address 1024 to a descriptor; uses the first 16 bytes. */
export function write(fd: 1 | 2, count: number): string {
  return `(i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const ${count}))
    (drop (call $fd_write (i32.const ${fd}) (i32.const 0) (i32.const 1) (i32.const 8)))`;
}

/** WAT that never ends. */
export const SPIN = "(loop $spin (br $spin))";

/** A job with the default limits but for those given. */
export function sandboxJob(module: Uint8Array, limits: Partial<SandboxLimits> = {}): SandboxJob {
  return {
    module,
    args: [],
    env: {},
    limits: { ...limitsOf(DEFAULT_RESOURCES, DEFAULT_CEILINGS), ...limits },
  };
}

/** Runs a job to its end. */
export async function collect(
  events: AsyncIterable<SandboxEvent>,
): Promise<{ outcome: SandboxOutcome; stdout: string; stderr: string }> {
  const texts = { stdout: "", stderr: "" };
  for await (const event of events) {
    if (event.type === "finished") return { outcome: event.outcome, ...texts };
    if (event.type !== "started") texts[event.type] += new TextDecoder().decode(event.data);
  }
  throw new Error("The job ended without an end");
}
