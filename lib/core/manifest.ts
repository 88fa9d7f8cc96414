/**
 * Creates, parses and validates manifests, which describe a job and its limits.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH, sha256 } from "./hash.ts";
import { canonicalBytes, parseJson, pathText } from "./json.ts";
import { validateDocument } from "./schema.ts";
import type { Hash, Manifest, Priority, Profile, Resources } from "./types.gen.ts";
import { MANIFEST_DOCUMENT } from "./documents.ts";

/** Maximum size of a manifest as JSON, in bytes: enough for ten thousand inputs and long arguments. */
export const MAX_MANIFEST_BYTES: number = 4 * 2 ** 20;

/** Default limits of a job. */
export const DEFAULT_RESOURCES: Readonly<Resources> = {
  cpu_cores: 1,
  memory_mb: 256,
  timeout_seconds: 60,
};

/** Fields of a manifest, as {@linkcode Manifest} describes them; undefined counts as absent. */
export interface ManifestOptions {
  /** SHA-256 of the module. */
  module_hash: Hash;
  /**
   * Limits of the job; absent ones have their defaults.
   * @default {DEFAULT_RESOURCES}
   */
  resources?: { [K in keyof Resources]?: Resources[K] | undefined } | undefined;
  /**
   * Name of the program, argv[0]. Absent: main.wasm.
   * @default {undefined}
   */
  argv0?: string | undefined;
  /**
   * Arguments after argv[0].
   * @default {[]}
   */
  args?: string[] | undefined;
  /**
   * Name of an exported function of numbers to call with the arguments. Absent: the command.
   * @default {undefined}
   */
  invoke?: string | undefined;
  /**
   * The complete environment.
   * @default {{}}
   */
  env?: { [name: string]: string } | undefined;
  /**
   * SHA-256 of standard input; binds the job to it.
   * @default {undefined}
   */
  stdin_hash?: Hash | undefined;
  /**
   * Guest path to SHA-256; the path of a directory ends in /, and its hash is that of zero bytes.
   * @default {undefined}
   */
  inputs?: { [path: string]: Hash } | undefined;
  /**
   * Modification times of inputs and of directories above them, in milliseconds of Unix time; 0 where absent.
   * @default {undefined}
   */
  input_times?: { [path: string]: number } | undefined;
  /**
   * Files to return, by guest path; a path that ends in / is a directory with everything in it.
   * @default {undefined}
   */
  outputs?: string[] | undefined;
  /**
   * Rules for clocks, randomness and NaN. Absent: default, the machine's own.
   * @default {undefined}
   */
  profile?: Profile | undefined;
  /**
   * Seed of all randomness, 64 lowercase hex digits; only with the profile deterministic. Absent: the digits of the
   * manifest's hash.
   * @default {undefined}
   */
  seed?: string | undefined;
  /**
   * Start of the virtual clocks, in milliseconds of Unix time; only with the profile deterministic. Absent: 0.
   * @default {undefined}
   */
  epoch_ms?: number | undefined;
  /**
   * Capabilities that a node must have.
   * @default {[]}
   */
  capabilities?: string[] | undefined;
  /**
   * Order among the submitter's jobs.
   * @default {"normal"}
   */
  priority?: Priority | undefined;
  /**
   * Whether to allow a re-run if a crash makes it unclear whether the job ran.
   * @default {false}
   */
  idempotent?: boolean | undefined;
}

/**
 * Creates a manifest, with defaults for absent fields.
 *
 * @throws {PlasmError} `bad-manifest` if the result violates the schema
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
    version: "0.2",
    args: [],
    env: {},
    capabilities: [],
    priority: "normal",
    idempotent: false,
    ...defined(fields),
    // The schema rejects anything but an object.
    resources: resources === undefined || isObject(resources)
      ? { ...DEFAULT_RESOURCES, ...defined(resources ?? {}) }
      : resources,
  };
  return checkManifest(manifest);
}

/**
 * Parses a complete manifest, as programs exchange it.
 *
 * @throws {PlasmError} `bad-manifest` if it is not JSON, exceeds {@linkcode MAX_MANIFEST_BYTES} or
 * violates the schema
 *
 * @example
 * ```ts
 * import { createManifest, parseManifest, sha256 } from "@plasm/plasm";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const manifest = createManifest({ module_hash: await sha256(new Uint8Array()) });
 * assertEquals(parseManifest(JSON.stringify(manifest)), manifest);
 * assertThrows(() => parseManifest("{}"), Error, "version is missing");
 * ```
 */
export function parseManifest(input: string | Uint8Array): Manifest {
  return checkManifest(parseManifestJson(input));
}

/** Options of {@linkcode parseManifestFile}. */
export interface ParseManifestFileOptions {
  /** Hash of the module that runs. */
  moduleHash: Hash;
  /**
   * Whether to accept a manifest of another module.
   * @default {false}
   */
  allowOther?: boolean;
}

/**
 * Parses a handwritten manifest, in which the version, the module's hash and fields with a default may be absent.
 *
 * @throws {PlasmError} `bad-manifest` as {@linkcode parseManifest}, and if the file names another
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

/**
 * Hash of a manifest: SHA-256 of its canonical JSON.
 *
 * @example
 * ```ts
 * import { manifestHash, parseManifest } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * const vector = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const manifest = parseManifest(vector.manifest_canonical);
 * assertEquals(await manifestHash(manifest), vector.receipt.claim.manifest_hash);
 * ```
 */
export async function manifestHash(manifest: Manifest): Promise<Hash> {
  return await sha256(canonicalBytes(manifest));
}

/**
 * Validates a parsed manifest, such as one from a frame.
 *
 * @throws {PlasmError} `bad-manifest` if it violates the schema
 */
export function checkManifest(value: unknown): Manifest {
  validateDocument(MANIFEST_DOCUMENT, value, { code: "bad-manifest", what: "manifest" });
  const manifest = value as Manifest;
  checkInputs(manifest.inputs ?? {});
  checkInputTimes(manifest);
  checkProfile(manifest);
  return manifest;
}

function parseManifestJson(input: string | Uint8Array): unknown {
  return parseJson(input, {
    maxBytes: MAX_MANIFEST_BYTES,
    code: "bad-manifest",
    what: "manifest",
  });
}

/** Rules that a schema cannot express: directories have the empty hash, and no path is below a file. */
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

/** Each time is that of an input or of a directory above one. */
function checkInputTimes({ inputs = {}, input_times = {} }: Manifest): void {
  const paths = new Set(Object.keys(inputs));
  for (const path of Object.keys(inputs)) {
    for (let end = path.indexOf("/", 1); end > 0; end = path.indexOf("/", end + 1)) {
      paths.add(path.slice(0, end + 1));
    }
  }
  for (const path of Object.keys(input_times)) {
    if (!paths.has(path)) {
      throw badInput(path, "is neither an input nor a directory above one", "input_times");
    }
  }
}

/** Fields of the deterministic profile are refused elsewhere: there they would have no effect. */
function checkProfile({ profile = "default", ...manifest }: Manifest): void {
  if (profile === "deterministic") return;
  for (const field of ["seed", "epoch_ms"] as const) {
    if (manifest[field] === undefined) continue;
    throw new PlasmError(
      "bad-manifest",
      `Cannot accept manifest: ${field} needs the profile deterministic, found ${profile}`,
      { details: { field } },
    );
  }
}

function badInput(path: string, why: string, property = "inputs"): PlasmError {
  const field = pathText([property, path]);
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
