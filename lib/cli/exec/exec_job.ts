/**
 * From the command line of `plasm exec` to a job.
 * @module
 */
import { loadConfig } from "../../config/mod.ts";
import {
  createManifest,
  type Hash,
  type Manifest,
  MAX_MANIFEST_BYTES,
  parseManifestFile,
  type Resources,
  sha256,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Ceilings, DEFAULT_CEILINGS, hashInputs, type JobInputs } from "../../sandbox/mod.ts";
import { printable } from "../../util/mod.ts";
import type { ParsedArgs } from "../command.ts";
import { readHostInputs } from "./host_inputs.ts";
import type { CliIo } from "../io.ts";
import { readCappedFile } from "../read_file.ts";
import { checkReceiptPath } from "../receipt_file.ts";
import { orStopped } from "../abortable_work.ts";

/** All that a run of a job needs, besides standard input. */
export interface ExecJob {
  module: Uint8Array;
  moduleHash: Hash;
  manifest: Manifest;
  inputs: JobInputs;
  ceilings: Ceilings;
}

/**
 * Checks where the receipt is to go, then reads the job.
 *
 * @throws {PlasmError} On the first thing that cannot be used; `interrupted`.
 */
export async function readJob(args: ParsedArgs, io: CliIo): Promise<ExecJob> {
  const receiptPath = args.string("receipt");
  if (receiptPath !== undefined) await checkReceiptPath(receiptPath);
  // Nothing runs yet: a pipe that nobody opens, or a file system that hangs, is left at once.
  return await orStopped(readExecJob(args, io), { signal: io.signal });
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
  const inputs = await readHostInputs(args.strings("input"), { maxBytes: ceilings.fs_bytes });
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
  return { module, moduleHash, manifest, inputs, ceilings };
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
