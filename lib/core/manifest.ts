/**
 * Manifests: what a job is and what it may use.
 *
 * @module
 */
import { PlasmError } from "./errors/errors.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { canonicalBytes, parseJson, pathText } from "./json.ts";
import { validateDocument } from "./schema.ts";
import type { Hash, Manifest, Priority, Resources } from "./types.gen.ts";
import { MANIFEST_DOCUMENT } from "./validators.gen.ts";

/** Largest manifest, as JSON, in bytes: room for a thousand inputs and long arguments. */
export const MAX_MANIFEST_BYTES: number = 256 * 1024;

/** What a job may use where its author says nothing. */
export const DEFAULT_RESOURCES: Readonly<Resources> = {
  cpu_cores: 1,
  memory_mb: 256,
  timeout_seconds: 60,
};

/** Fields of a manifest, as {@linkcode Manifest} describes them; undefined counts as left out. */
export interface ManifestOptions {
  /** SHA-256 of the module. */
  module_hash: Hash;
  /**
   * What the job may use; what is left out has its default.
   * @default {DEFAULT_RESOURCES}
   */
  resources?: { [K in keyof Resources]?: Resources[K] | undefined } | undefined;
  /**
   * Arguments after argv[0].
   * @default {[]}
   */
  args?: string[] | undefined;
  /**
   * The whole environment.
   * @default {{}}
   */
  env?: { [name: string]: string } | undefined;
  /**
   * SHA-256 of standard input, to bind it.
   * @default {undefined}
   */
  stdin_hash?: Hash | undefined;
  /**
   * Guest path to SHA-256; a directory's path ends in / and has the hash of no bytes.
   * @default {undefined}
   */
  inputs?: { [path: string]: Hash } | undefined;
  /**
   * What a node must have.
   * @default {[]}
   */
  capabilities?: string[] | undefined;
  /**
   * Which queue the job waits in.
   * @default {"normal"}
   */
  priority?: Priority | undefined;
  /**
   * Whether the job may run again after a crash.
   * @default {false}
   */
  idempotent?: boolean | undefined;
}

/**
 * A complete manifest from what is given and the defaults.
 *
 * @throws {PlasmError} `bad-manifest` when the result does not follow the schema
 *
 * @example
 * ```ts
 * import { createManifest, sha256 } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const module = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);
 * const manifest = createManifest({
 *   module_hash: await sha256(module),
 *   resources: { memory_mb: 64 },
 * });
 * assertEquals(manifest.resources, { cpu_cores: 1, memory_mb: 64, timeout_seconds: 60 });
 * ```
 */
export function createManifest(options: ManifestOptions): Manifest {
  const { resources, ...fields } = options;
  const manifest = {
    version: "0.1",
    args: [],
    env: {},
    capabilities: [],
    priority: "normal",
    idempotent: false,
    ...defined(fields),
    // Anything that is no object is left for the schema to refuse.
    resources: resources === undefined || isObject(resources)
      ? { ...DEFAULT_RESOURCES, ...defined(resources ?? {}) }
      : resources,
  };
  return checkManifest(manifest);
}

/**
 * Reads a complete manifest, as it travels between programs.
 *
 * @throws {PlasmError} `bad-manifest` when it is not JSON, over {@linkcode MAX_MANIFEST_BYTES} or does
 * not follow the schema
 */
export function parseManifest(input: string | Uint8Array): Manifest {
  return checkManifest(parseManifestJson(input));
}

/** Options of {@linkcode parseManifestFile}. */
export interface ParseManifestFileOptions {
  /** Hash of the module that the file is used with. */
  moduleHash: Hash;
  /**
   * Whether the file may name another module all the same.
   * @default {false}
   */
  allowOther?: boolean;
}

/**
 * Reads a manifest that a person wrote: what has a default may be left out, and so may the version
 * and the module's hash.
 *
 * @throws {PlasmError} `bad-manifest` as {@linkcode parseManifest}, and when the file names another
 * module
 */
export function parseManifestFile(
  input: string | Uint8Array,
  options: ParseManifestFileOptions,
): Manifest {
  const fields = parseManifestJson(input);
  if (!isObject(fields)) return checkManifest(fields);
  const manifest = createManifest({ module_hash: options.moduleHash, ...fields });
  if (manifest.module_hash !== options.moduleHash && !options.allowOther) {
    throw new PlasmError(
      "bad-manifest",
      `Cannot accept manifest: module_hash is ${manifest.module_hash}, ` +
        `the module hashes to ${options.moduleHash}`,
      { details: { field: "module_hash" } },
    );
  }
  return manifest;
}

/** Hash of a manifest: SHA-256 of its canonical JSON. */
export async function manifestHash(manifest: Manifest): Promise<Hash> {
  return await sha256(canonicalBytes(manifest));
}

/**
 * Checks a value that came as an object, such as a decoded frame.
 *
 * @throws {PlasmError} `bad-manifest` when it does not follow the schema
 */
export function checkManifest(value: unknown): Manifest {
  validateDocument(MANIFEST_DOCUMENT, value, { code: "bad-manifest", what: "manifest" });
  const manifest = value as Manifest;
  checkInputs(manifest.inputs ?? {});
  return manifest;
}

function parseManifestJson(input: string | Uint8Array): unknown {
  return parseJson(input, {
    maxBytes: MAX_MANIFEST_BYTES,
    code: "bad-manifest",
    what: "manifest",
  });
}

/** What the schema cannot say: directories have no bytes, files have nothing below them. */
function checkInputs(inputs: Record<string, Hash>): void {
  const paths = Object.keys(inputs);
  const files = new Set(paths.filter((path) => !path.endsWith("/")));
  for (const path of paths) {
    if (path.endsWith("/") && inputs[path] !== EMPTY_HASH) {
      throw badInput(path, `is a directory, its hash must be ${EMPTY_HASH}`);
    }
    for (let end = path.indexOf("/", 1); end > 0; end = path.indexOf("/", end + 1)) {
      if (files.has(path.slice(0, end))) {
        throw badInput(path, `lies in ${JSON.stringify(path.slice(0, end))}, which is a file`);
      }
    }
  }
}

function badInput(path: string, why: string): PlasmError {
  const field = pathText(["inputs", path]);
  return new PlasmError("bad-manifest", `Cannot accept manifest: ${field} ${why}`, {
    details: { field },
  });
}

function defined(fields: object): object {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
