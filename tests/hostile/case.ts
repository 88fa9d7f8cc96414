/**
 * What a hostile (or merely awkward) module is, for the tests that run them all.
 * @module
 */
import type { ErrorCode } from "../../lib/error_codes.ts";
import { PREVIEW1, PREVIEW1_TYPES } from "../../lib/sandbox/inspect/preview1.ts";
import type { JobStatus, SandboxInput, SandboxLimits } from "../../lib/sandbox/types.ts";

/** How a job has to end. */
export interface Expectation {
  /**
   * `rejected` stands for a PlasmError before the job began. Several where the engine decides which
   * limit is met first.
   */
  status: JobStatus | readonly JobStatus[];
  /** Code of the PlasmError, where the status is `rejected`. */
  code?: ErrorCode;
  /** The job's own exit code, where it exited. */
  exitCode?: number;
  /** All of stdout. */
  stdout?: string;
  /** Part of the outcome's or the error's message. */
  messageIncludes?: string;
}

/** A module with what it does and how it has to end. */
export interface HostileModule {
  name: string;
  /** One sentence. */
  what: string;
  bytes(): Promise<Uint8Array<ArrayBuffer>>;
  expect: Expectation;
  /** What differs from {@linkcode HOSTILE_LIMITS}. */
  limits?: Partial<SandboxLimits>;
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Bytes, or an input that neither gives anything nor ends. */
  stdin?: Uint8Array<ArrayBuffer> | "open";
  inputs?: readonly SandboxInput[];
}

/**
 * Wide enough that a slow machine meets no limit but the one a case is about, which sets it lower.
 */
export const HOSTILE_LIMITS: Readonly<SandboxLimits> = {
  memoryBytes: 64 * 1_048_576,
  wallTimeMs: 120_000,
  cpuTimeMs: 120_000,
  outputBytes: 1_048_576,
  fsBytes: 16 * 1_048_576,
  fsInodes: 10_000,
  openFds: 64,
  moduleBytes: 64 * 1_048_576,
};

/** For what never ends by itself: compiled and running long before that on any machine. */
export const SHORT: Partial<SandboxLimits> = { wallTimeMs: 1_000 };

/** The import of a preview1 function, named `$` and its name. */
export function importOf(name: string): string {
  const [parameters, results] = (PREVIEW1_TYPES.get(name) ?? "").split("->");
  return `(import "${PREVIEW1}" "${name}" (func $${name} (param ${parameters}) (result ${results})))`;
}

/** Options of {@linkcode command}. */
export interface CommandOptions {
  /** Functions of preview1 that are called. @default {none} */
  uses?: readonly string[];
  /** Pages of memory. @default {1} */
  pages?: number | string;
  /** More fields of the module. @default {none} */
  fields?: string;
}

/** The text of a command whose `_start` is `code`. */
export function command(code: string, options: CommandOptions = {}): string {
  return `(module ${(options.uses ?? []).map(importOf).join("\n")}
  (memory (export "memory") ${options.pages ?? 1})
  ${options.fields ?? ""}
  (func (export "_start") ${code}))`;
}
