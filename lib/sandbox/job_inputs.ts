/**
 * Binds a job's inputs to its manifest: verifies files and standard input against their hashes, or computes them.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  DeclaredPaths,
  EMPTY_HASH,
  type Hash,
  Hasher,
  type JobInputs,
  type Manifest,
  sha256,
} from "../core/mod.ts";
import { collect } from "../util/async/mod.ts";
import type { FileInput } from "./job_types.ts";

/**
 * Verifies files against the manifest and returns them in its order.
 *
 * @throws {PlasmError} `bad-input` if a file is missing, is not in the manifest or has a different hash
 */
export async function checkInputs(manifest: Manifest, inputs: JobInputs): Promise<FileInput[]> {
  const named = manifest.inputs ?? {};
  for (const path of Object.keys(inputs)) {
    if (!Object.hasOwn(named, path)) {
      throw new PlasmError("bad-input", `Cannot use input: the manifest does not name ${path}`);
    }
  }
  const times = manifest.input_times ?? {};
  const timeOf = (path: string) => Object.hasOwn(times, path) ? { mtimeMs: times[path]! } : {};
  const checked: FileInput[] = [];
  const directories = new DeclaredPaths(Object.keys(named).filter((path) => path.endsWith("/")));
  for (const [path, hash] of Object.entries(named)) {
    if (path.endsWith("/")) {
      // A directory in another one is reached through it: a tree may have thousands.
      const isPreopen = !directories.contains(path);
      checked.push({ path, ...timeOf(path), ...(isPreopen ? {} : { isPreopen }) });
      continue;
    }
    const data = Object.hasOwn(inputs, path) ? inputs[path] : undefined;
    if (data === undefined) {
      throw new PlasmError("bad-input", `Cannot run job: its input is missing: ${path}`);
    }
    await checkHash(data, hash, path);
    checked.push({ path, data, ...timeOf(path) });
  }
  // Directories above inputs exist, but are no preopens.
  for (const path of Object.keys(times)) {
    if (!Object.hasOwn(named, path)) checked.push({ path, ...timeOf(path), isPreopen: false });
  }
  return checked;
}

/**
 * Computes the hashes of files for a manifest.
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
  // A map instead of assignments to an object: a file may be named __proto__.
  const hashes = new Map<string, Hash>();
  for (const [path, data] of Object.entries(inputs)) {
    hashes.set(path, path.endsWith("/") ? EMPTY_HASH : await sha256(data));
  }
  return Object.fromEntries(hashes);
}

async function checkHash(data: Uint8Array, expected: Hash, what: string): Promise<void> {
  const actual = await sha256(data);
  if (actual !== expected) {
    throw new PlasmError(
      "bad-input",
      `Cannot use ${what}: the manifest names ${expected}, its bytes hash to ${actual}`,
      { details: { what, expected, actual } },
    );
  }
}

/** Standard input whose hash is known after the job has ended. */
export interface StdinSource {
  /** What the job reads. */
  readonly stream: ReadableStream<Uint8Array>;
  /** Returns the hash of all input; call it after the job has ended. */
  digest(): Promise<Hash>;
}

/** Options of {@linkcode HashedStdin}. */
export interface HashedStdinOptions {
  /**
   * Whether to read the source to its end, which it is known to have, even if the job does not.
   * @default {false: up to 64 MiB, until it pauses}
   */
  toEnd?: boolean;
  /**
   * Asks the source to end, after which the rest is read, so that its sender knows what was hashed.
   * @default {none: the source is cut off}
   */
  askEnd?: (() => void) | undefined;
  /**
   * Whether the source ended prematurely. The guest's input then does not end, so that the guest cannot exit as if
   * it were complete, and the caller must stop the job.
   * @default {never}
   */
  isBroken?: (() => boolean) | undefined;
}

/** Maximum input that is read after the job's end to hash input that the job did not read, in bytes. */
const MAX_REST_BYTES = 64 * 2 ** 20;

/** Pause of the source after the job's end that counts as its end, in milliseconds. */
const REST_PAUSE_MS = 100;

/**
 * Hashes a stream while a job reads it.
 *
 * A job may end before it has read all input. What the source has available is then hashed too, so that the hash of
 * a file or a finished pipe does not depend on timing. An endless or idle source is cut off.
 */
export class HashedStdin implements StdinSource {
  /** What the job reads. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #hasher = new Hasher();
  readonly #toEnd: boolean;
  readonly #askEnd: (() => void) | undefined;
  #pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  #ended = false;

  /** Locks the source. */
  constructor(source: ReadableStream<Uint8Array>, options: HashedStdinOptions = {}) {
    this.#toEnd = options.toEnd ?? false;
    this.#askEnd = options.askEnd;
    this.#reader = source.getReader();
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { done, value } = await this.#next();
        if (!done) controller.enqueue(value);
        else if (options.isBroken?.() !== true) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Returns the hash of all input and cancels the source. */
  async digest(): Promise<Hash> {
    const maxBytes = this.#hasher.bytes + MAX_REST_BYTES;
    while (!this.#ended && this.#toEnd) await this.#next();
    while (!this.#ended && this.#hasher.bytes < maxBytes && await this.#readAvailable());
    if (!this.#ended && this.#askEnd !== undefined) {
      this.#askEnd();
      while (!this.#ended) await this.#next();
    }
    // A pending read, for example of a terminal, may never resolve and is abandoned.
    this.#reader.cancel().catch(() => {});
    return await this.#hasher.digest();
  }

  /** Reads a chunk; returns `false` if the source pauses. */
  async #readAvailable(): Promise<boolean> {
    const pause = Promise.withResolvers<false>();
    const timer = setTimeout(() => pause.resolve(false), REST_PAUSE_MS);
    try {
      return await Promise.race([this.#next().then(() => true), pause.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Reads and hashes the next chunk, or joins a read in progress. */
  #next(): Promise<ReadableStreamReadResult<Uint8Array>> {
    this.#pending ??= this.#read().finally(() => this.#pending = undefined);
    return this.#pending;
  }

  async #read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    const result = await this.#reader.read();
    if (result.done) this.#ended = true;
    else await this.#hasher.update(result.value);
    return result;
  }
}

/** Maximum standard input that a manifest can bind, in bytes: it must be complete before the job starts. */
const MAX_BOUND_STDIN_BYTES = 128 * 2 ** 20;

/** Options of {@linkcode prepareStdin}. */
export interface PrepareStdinOptions {
  /** Hash in the manifest. @default {standard input is not bound} */
  bound: Hash | undefined;
  /** Hash that the caller has computed before. @default {computed} */
  known: Hash | undefined;
}

/** Standard input of a job with its hash. */
export interface PreparedStdin {
  /** What the job reads. */
  source: ReadableStream<Uint8Array> | Uint8Array | undefined;
  /** Returns the hash; call it after the job has ended. */
  hash(): Promise<Hash>;
}

/**
 * Verifies or hashes standard input.
 *
 * @throws {PlasmError} `bad-input` if it differs from the manifest, `too-large`, or `bad-manifest` if the manifest
 * binds a source whose hash is known at its end only
 */
export async function prepareStdin(
  stdin: ReadableStream<Uint8Array> | StdinSource | Uint8Array | undefined,
  { bound, known }: PrepareStdinOptions,
): Promise<PreparedStdin> {
  if (stdin !== undefined && "digest" in stdin) {
    if (bound === undefined) return { source: stdin.stream, hash: () => stdin.digest() };
    throw new PlasmError(
      "bad-manifest",
      `Cannot pipe standard input: the manifest names ${bound}, which only its end could show`,
    );
  }
  let source = stdin;
  if (known !== undefined && source instanceof ReadableStream) {
    const hashed = new HashedStdin(source, { toEnd: true });
    const hash = async (): Promise<Hash> => {
      const found = await hashed.digest();
      if (found === known) return found;
      throw new PlasmError(
        "state",
        `Cannot prove run: standard input hashed to ${found}, expected ${known}`,
        {
          hint: "Send the input again, and check the disk",
          details: { known, found },
        },
      );
    };
    return { source: hashed.stream, hash };
  }
  if (bound !== undefined) {
    // The manifest binds standard input, so all of it is verified before the job starts.
    source = source instanceof ReadableStream
      ? await collect(source, { maxBytes: MAX_BOUND_STDIN_BYTES, tooLarge: tooLargeToBind })
      : source ?? new Uint8Array();
    await checkHash(source, bound, "standard input");
  }
  if (source instanceof ReadableStream) {
    const hashed = new HashedStdin(source);
    return { source: hashed.stream, hash: () => hashed.digest() };
  }
  const bytes = source;
  return {
    source: bytes,
    hash: async () => bytes === undefined ? EMPTY_HASH : await sha256(bytes),
  };
}

function tooLargeToBind(): PlasmError {
  return new PlasmError(
    "too-large",
    `Cannot bind standard input: more than ${MAX_BOUND_STDIN_BYTES} bytes`,
  );
}
