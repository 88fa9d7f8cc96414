/**
 * Holds what a job is given against the hashes in its manifest, before anything runs.
 * @module
 */
import { EMPTY_HASH, type Hash, type Manifest, sha256 } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { FileInput } from "./job_types.ts";

/** Files of a job by guest path; a path that ends in "/" is a directory and has no bytes. */
export type JobInputs = Readonly<Record<string, Uint8Array>>;

/**
 * Pairs the inputs with the manifest's names.
 *
 * @throws {PlasmError} `bad-input` when one is missing, not named, or differs from its hash.
 */
export async function checkInputs(manifest: Manifest, inputs: JobInputs): Promise<FileInput[]> {
  const named = manifest.inputs ?? {};
  for (const path of Object.keys(inputs)) {
    if (!Object.hasOwn(named, path)) {
      throw new PlasmError(
        "bad-input",
        `Cannot give file to job: the manifest does not name ${path}`,
      );
    }
  }
  const checked: FileInput[] = [];
  for (const [path, hash] of Object.entries(named)) {
    if (path.endsWith("/")) {
      checked.push({ path });
      continue;
    }
    const data = Object.hasOwn(inputs, path) ? inputs[path] : undefined;
    if (data === undefined) {
      throw new PlasmError("bad-input", `Cannot run job: its input is missing: ${path}`);
    }
    await expectHash(data, hash, path);
    checked.push({ path, data });
  }
  return checked;
}

/**
 * The hashes that a manifest names for these inputs.
 *
 * @example
 * ```ts
 * import { hashInputs } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const hashes = await hashInputs({ "data/empty.txt": new Uint8Array(), "data/": new Uint8Array() });
 * assertEquals(Object.keys(hashes), ["data/empty.txt", "data/"]);
 * ```
 */
export async function hashInputs(inputs: JobInputs): Promise<Record<string, Hash>> {
  // Not by assignment: a file may be called __proto__.
  const hashes = new Map<string, Hash>();
  for (const [path, data] of Object.entries(inputs)) {
    hashes.set(path, path.endsWith("/") ? EMPTY_HASH : await sha256(data));
  }
  return Object.fromEntries(hashes);
}

/**
 * Checks bytes against the hash that the manifest has for them.
 *
 * @throws {PlasmError} `bad-input` naming what differs.
 */
export async function expectHash(data: Uint8Array, expected: Hash, what: string): Promise<void> {
  const actual = await sha256(data);
  if (actual !== expected) {
    throw new PlasmError(
      "bad-input",
      `Cannot use ${what}: the manifest names ${expected}, its bytes hash to ${actual}`,
      { details: { what, expected, actual } },
    );
  }
}
