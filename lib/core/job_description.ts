/**
 * Describes a job in the same way for every function that runs one, and completes its manifest.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { createManifest, type ManifestOptions } from "./manifest.ts";
import type { Hash, Manifest } from "./types.gen.ts";

/** Files of a job by guest path; a path that ends in "/" is a directory without content. */
export type JobInputs = Readonly<Record<string, Uint8Array>>;

/**
 * Description of a job: the fields of its manifest, except hashes, which are computed. `runJob`, `streamJob`,
 * `runRemoteJob` and the methods of `DaemonClient` share it.
 */
export interface JobDescription
  extends Omit<ManifestOptions, "module_hash" | "stdin_hash" | "inputs"> {
  /** Files given to the job by guest path; a path that ends in / is a directory. @default {none} */
  inputs?: JobInputs | undefined;
  /**
   * A manifest, such as `parseManifest` returns, instead of its fields. Absent fields have their defaults, absent hashes
   * are computed.
   * @default {the fields}
   */
  manifest?: (Omit<ManifestOptions, "module_hash"> & { module_hash?: Hash }) | undefined;
}

/** Fields of the manifest in {@linkcode JobDescription}. */
const DESCRIPTION_FIELDS = [
  "argv0",
  "args",
  "invoke",
  "env",
  "input_times",
  "outputs",
  "profile",
  "seed",
  "epoch_ms",
  "resources",
  "capabilities",
  "priority",
  "idempotent",
] as const satisfies readonly (keyof ManifestOptions)[];

/** Fails to compile when {@linkcode DESCRIPTION_FIELDS} lacks a field. */
type Lacking = Exclude<
  keyof JobDescription,
  typeof DESCRIPTION_FIELDS[number] | "inputs" | "manifest"
>;
const _complete: [Lacking] extends [never] ? true : Lacking = true;

/** Hashes that a description does not contain. */
export interface DescribedHashes {
  /** Hash of the module. */
  module: Hash;
  /** Hashes of the inputs by guest path. @default {no inputs} */
  inputs?: Record<string, Hash> | undefined;
  /** Hash of standard input, to bind the job to it. @default {not bound} */
  stdin?: Hash | undefined;
}

/**
 * Completes the manifest of a job.
 *
 * @throws {PlasmError} `usage` if both a manifest and one of its fields are given; `bad-module` or `bad-input` if the
 * manifest names other content; `bad-manifest` if it violates the schema
 */
export function manifestOf(description: JobDescription, hashes: DescribedHashes): Manifest {
  const fields: Record<string, unknown> = {};
  for (const name of DESCRIPTION_FIELDS) {
    if (description[name] !== undefined) fields[name] = description[name];
  }
  const { manifest } = description;
  const [first] = Object.keys(fields);
  if (manifest !== undefined && first !== undefined) {
    throw new PlasmError("usage", `Cannot describe job: both manifest and ${first} are given`, {
      hint: `Set manifest.${first}, or leave manifest out`,
    });
  }
  const { inputs = {} } = hashes;
  const complete = createManifest({
    ...(hashes.stdin === undefined ? {} : { stdin_hash: hashes.stdin }),
    ...(Object.keys(inputs).length === 0 ? {} : { inputs }),
    ...fields,
    ...manifest,
    module_hash: manifest?.module_hash ?? hashes.module,
  });
  if (complete.module_hash !== hashes.module) {
    throw new PlasmError(
      "bad-module",
      `Cannot run module: the manifest names ${complete.module_hash}, its bytes hash to ${hashes.module}`,
    );
  }
  if (hashes.inputs !== undefined) checkNamed(complete.inputs ?? {}, inputs);
  return complete;
}

/** Compares the hashes of inputs with those that the manifest names. */
function checkNamed(named: Record<string, Hash>, inputs: Record<string, Hash>): void {
  for (const [path, actual] of Object.entries(inputs)) {
    const expected = Object.hasOwn(named, path) ? named[path] : undefined;
    if (expected === undefined) {
      throw new PlasmError("bad-input", `Cannot use input: the manifest does not name ${path}`);
    }
    if (actual !== expected) {
      throw new PlasmError(
        "bad-input",
        `Cannot use ${path}: the manifest names ${expected}, its bytes hash to ${actual}`,
        { details: { what: path, expected, actual } },
      );
    }
  }
  for (const path of Object.keys(named)) {
    if (!path.endsWith("/") && !Object.hasOwn(inputs, path)) {
      throw new PlasmError("bad-input", `Cannot run job: its input is missing: ${path}`);
    }
  }
}
