/**
 * Arguments of the tools that run a job: their schema, and the job that they describe.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import type { JobDescription, JobInputs } from "../core/mod.ts";
import type { AllowedPaths } from "./allowed_paths.ts";

/** An input: a file or directory of the server's machine, or content. */
interface InputArgument {
  /** Path in the job's file system. */
  guest: string;
  /** Path in a served directory. */
  path?: string;
  text?: string;
  base64?: string;
}

/** What every tool that runs a job takes, besides the module. */
export interface JobArguments {
  args?: string[];
  env?: Record<string, string>;
  stdin?: string;
  stdin_base64?: string;
  inputs?: InputArgument[];
  outputs?: string[];
  deterministic?: boolean;
  seed?: string;
  fuel?: number;
  memory_mb?: number;
  timeout_seconds?: number;
}

const BYTES = { type: "string", contentEncoding: "base64" } as const;

/** JSON schema of the properties in {@linkcode JobArguments}. */
export const JOB_PROPERTIES = {
  args: {
    type: "array",
    items: { type: "string" },
    maxItems: 10_000,
    description: "Arguments after the program's name",
  },
  env: {
    type: "object",
    additionalProperties: { type: "string" },
    description: "The whole environment; nothing is inherited",
  },
  stdin: { type: "string", description: "Standard input as text (default empty)" },
  stdin_base64: { ...BYTES, description: "Standard input as bytes, instead of stdin" },
  inputs: {
    type: "array",
    maxItems: 1000,
    description: "Files that the job can read; it sees nothing else of any machine",
    items: {
      type: "object",
      additionalProperties: false,
      required: ["guest"],
      properties: {
        guest: { type: "string", description: "Path in the job's file system" },
        path: { type: "string", description: "File or directory in a served directory" },
        text: { type: "string", description: "Content as text, instead of path" },
        base64: { ...BYTES, description: "Content as bytes, instead of path" },
      },
    },
  },
  outputs: {
    type: "array",
    items: { type: "string" },
    maxItems: 1000,
    description:
      "Files of the job to return, by path in its file system; a path that ends in / is a directory",
  },
  deterministic: {
    type: "boolean",
    description:
      "Virtual clocks and seeded random numbers, so that anyone gets the same bytes (default false)",
  },
  seed: {
    type: "string",
    pattern: "^[0-9a-f]{64}$",
    description: "Seed of the random numbers of a deterministic job",
  },
  fuel: {
    type: "integer",
    minimum: 1,
    description: "Instructions after which the job ends (default not counted)",
  },
  memory_mb: {
    type: "integer",
    minimum: 1,
    description: "Limit of memory in MiB (default 256)",
  },
  timeout_seconds: {
    type: "integer",
    minimum: 1,
    description: "Limit of wall-clock time in seconds (default 60)",
  },
} as const;

/** A job without its module. */
export interface DescribedArguments {
  description: JobDescription;
  stdin: Uint8Array;
}

/** Options of {@linkcode describeJob}. */
export interface DescribeJobOptions {
  /** Files that may be read. */
  allowed: AllowedPaths;
  /** Most bytes of all inputs together. */
  maxBytes: number;
  /** Inputs that every job has. @default {none} */
  shared?: JobInputs | undefined;
  /** Name of the program, argv[0]. @default {main.wasm} */
  argv0?: string | undefined;
}

/**
 * Reads the inputs and describes the job.
 *
 * @throws {PlasmError} `usage`, `bad-input`, or as `AllowedPaths.readInput`
 */
export async function describeJob(
  given: JobArguments,
  { allowed, maxBytes, shared = {}, argv0 }: DescribeJobOptions,
): Promise<DescribedArguments> {
  const inputs: Record<string, Uint8Array> = { ...shared };
  let bytes = 0;
  for (const input of given.inputs ?? []) {
    const { path } = oneOf(input, ["path", "text", "base64"], `input ${input.guest}`);
    const guest = input.guest.replace(/\/+$/, "");
    const files = path === undefined
      ? { [input.guest]: argumentBytes(input) }
      : await allowed.readInput(path, { guest, maxBytes: maxBytes - bytes });
    for (const [name, data] of Object.entries(files)) {
      if (Object.hasOwn(inputs, name)) {
        throw new PlasmError("bad-input", `Cannot use input ${JSON.stringify(name)} twice`);
      }
      inputs[name] = data;
      bytes += data.length;
    }
    if (bytes > maxBytes) {
      throw new PlasmError(
        "too-large",
        `Cannot use inputs: they have ${bytes} bytes, ${maxBytes} are allowed`,
        { details: { bytes, allowed: maxBytes } },
      );
    }
  }
  const { args, env, outputs, seed, fuel, memory_mb, timeout_seconds } = given;
  if (seed !== undefined && given.deterministic !== true) {
    throw new PlasmError("usage", "Cannot use seed: the job is not deterministic", {
      hint: "Set deterministic to true",
    });
  }
  const stdin = oneOf(given, ["stdin", "stdin_base64"], "standard input");
  return {
    description: {
      argv0,
      args,
      env,
      inputs,
      outputs,
      profile: given.deterministic === true ? "deterministic" : undefined,
      seed,
      resources: { memory_mb, timeout_seconds, fuel },
    },
    stdin: argumentBytes({ text: stdin.stdin, base64: stdin.stdin_base64 }),
  };
}

/** Bytes of text or base64; empty if both are absent. */
export function argumentBytes(
  { text = "", base64 }: { text?: string | undefined; base64?: string | undefined },
): Uint8Array {
  if (base64 === undefined) return new TextEncoder().encode(text);
  try {
    return Uint8Array.fromBase64(base64);
  } catch {
    throw new PlasmError("bad-input", "Cannot read content: it is not base64");
  }
}

/** Refuses an object in which more than one of the fields is set. */
function oneOf<T extends object>(value: T, fields: readonly (keyof T)[], what: string): T {
  const given = fields.filter((field) => value[field] !== undefined);
  if (given.length <= 1) return value;
  throw new PlasmError("usage", `Cannot read ${what}: give only one of ${given.join(", ")}`);
}
