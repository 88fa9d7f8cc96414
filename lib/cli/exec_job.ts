/**
 * From the command line of `plasm exec` to a job.
 * @module
 */
import { loadConfig } from "../config/mod.ts";
import { PlasmError } from "../errors.ts";
import { sha256 } from "../job/hash.ts";
import { createManifest, MAX_MANIFEST_BYTES, parseManifestFile } from "../job/manifest.ts";
import type { Manifest, Resources } from "../job/types.ts";
import { hashInputs, type JobInputs } from "../sandbox/job_inputs.ts";
import { type Ceilings, DEFAULT_CEILINGS } from "../sandbox/limits.ts";
import { type ParsedArgs, printable } from "./args.ts";
import { readInputs, reasonOf } from "./exec_inputs.ts";
import type { CliIo } from "./io.ts";

/** All that a run of a job needs, besides standard input. */
export interface ExecJob {
  module: Uint8Array;
  manifest: Manifest;
  inputs: JobInputs;
  ceilings: Ceilings;
}

/**
 * Reads module, manifest and inputs. What the command line says wins over the manifest file.
 *
 * @throws {PlasmError} On the first thing that cannot be used.
 */
export async function readExecJob(args: ParsedArgs, io: CliIo): Promise<ExecJob> {
  const ceilings = await loadCeilings(io);
  const modulePath = args.positionals[0]!;
  const module = await readCappedFile(modulePath, {
    maxBytes: ceilings.module_bytes,
    code: "bad-module",
    what: "module",
  });
  const moduleHash = await sha256(module);
  const inputs = await readInputs(args.strings("input"), { maxBytes: ceilings.fs_bytes });
  const manifestPath = args.string("manifest");
  const base = manifestPath === undefined
    ? createManifest({ module_hash: moduleHash })
    : parseManifestFile(
      await readCappedFile(manifestPath, {
        maxBytes: MAX_MANIFEST_BYTES,
        code: "bad-manifest",
        what: "manifest",
      }),
      { moduleHash },
    );
  // A manifest file that names inputs binds what is given; else what is given is named.
  const named = base.inputs ?? (Object.keys(inputs).length > 0 && await hashInputs(inputs));
  const manifest = createManifest({
    ...base,
    resources: { ...base.resources, ...resourcesOf(args) },
    args: [...(args.rest ?? base.args)],
    env: { ...base.env, ...envOf(args) },
    ...(named ? { inputs: named } : {}),
  });
  return { module, manifest, inputs, ceilings };
}

/** An operator's ceilings where there are any, else those of the machine's owner. */
async function loadCeilings(io: CliIo): Promise<Ceilings> {
  const { config, sources } = await loadConfig({ env: (name) => io.env(name) });
  const ceilings = { ...DEFAULT_CEILINGS };
  for (const name of Object.keys(ceilings) as (keyof Ceilings)[]) {
    if (sources[`jobs.ceilings.${name}`] !== "default") ceilings[name] = config.jobs.ceilings[name];
  }
  return ceilings;
}

function resourcesOf(args: ParsedArgs): Partial<Resources> {
  const memory_mb = args.integer("memory-mb");
  const timeout_seconds = args.integer("timeout");
  const cpu_seconds = args.integer("cpu-seconds");
  return {
    ...(memory_mb === undefined ? {} : { memory_mb }),
    ...(timeout_seconds === undefined ? {} : { timeout_seconds }),
    ...(cpu_seconds === undefined ? {} : { cpu_seconds }),
  };
}

function envOf(args: ParsedArgs): Record<string, string> {
  return Object.fromEntries(
    args.strings("env").map((pair) => {
      const at = pair.indexOf("=");
      if (at < 1) {
        throw new PlasmError("usage", `Cannot use --env: it is not K=V: ${printable(pair)}`);
      }
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

/** Options of {@linkcode readCappedFile}. */
export interface ReadCappedFileOptions {
  /** Size of the file at most. */
  maxBytes: number;
  /** Code of the error when it cannot be used. */
  code: "bad-module" | "bad-manifest";
  /** What it is, for the message. */
  what: string;
}

async function readCappedFile(path: string, options: ReadCappedFileOptions): Promise<Uint8Array> {
  const { maxBytes, code, what } = options;
  const fail = (reason: string) => {
    throw new PlasmError(code, `Cannot read ${what}: ${reason}: ${printable(path)}`);
  };
  try {
    using file = await Deno.open(path);
    const { isDirectory, size } = await file.stat();
    if (isDirectory) fail("it is a directory");
    if (size > maxBytes) fail(`it has ${size} bytes, allowed are ${maxBytes}`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    // Read by the byte, not by the size: a pipe has none.
    for (const buffer = new Uint8Array(64 * 1024);;) {
      const count = await file.read(buffer);
      if (count === null) break;
      bytes += count;
      if (bytes > maxBytes) fail(`it has more than ${maxBytes} bytes`);
      parts.push(buffer.slice(0, count));
    }
    return await new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    return fail(reasonOf(error)) as never;
  }
}
