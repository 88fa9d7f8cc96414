/**
 * Stores output files in memory or in private directories beside their targets while they arrive, and moves them to
 * their names after verification.
 *
 * Until then content has at most a number for a name, so that names of an unverified job are never used.
 *
 * @module
 */
import {
  DeclaredPaths,
  missingOutputs,
  type OutputFiles,
  OutputFilesReader,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { toHex } from "../../util/mod.ts";
import {
  moveFiles,
  orWriteError,
  type StagedFile,
  writeAllSync,
  writeError,
} from "./move_files.ts";
import { outputsOf, type OutputTarget } from "./output_target.ts";

/** Largest file that stays in memory until it has been verified, in bytes: it is then written only once. */
const SMALL_BYTES = 64 * 1024;

/** Maximum size of all files in memory, in bytes. */
const MEMORY_BYTES = 16 * 1024 * 1024;

/** Random bytes in the name of a staging directory. */
const NAME_BYTES = 8;

/** Options of {@linkcode OutputStaging}. */
export interface StagingOptions {
  /** Where the outputs are written. */
  targets: readonly OutputTarget[];
  /** The inputs of the manifest: what a shared directory already has. @default {none} */
  inputs?: Readonly<Record<string, string>> | undefined;
}

/** What {@linkcode OutputStaging.commit} wrote. */
export interface WrittenOutputs {
  /** All files of the job, by guest path. */
  files: OutputFiles;
  /** Declared outputs that the job does not have. */
  missing: string[];
}

/** A target and its staging directory. */
interface Stage {
  target: OutputTarget;
  declared: DeclaredPaths;
  /** Staging directory, once it exists. */
  dir: string | undefined;
  files: StagedFile[];
}

/** Receives the archive of a job's output files. */
export class OutputStaging implements Disposable {
  readonly #options: StagingOptions;
  readonly #stages: Stage[];
  #reader: OutputFilesReader;
  #writers: Deno.FsFile[] = [];
  /** Content of the current file, if it stays in memory. */
  #content: Uint8Array | undefined;
  /** Bytes in memory. */
  #memory = 0;
  #count = 0;
  #isDisposed = false;

  /** Creates no file before the first part arrives. */
  constructor(options: StagingOptions) {
    this.#options = options;
    this.#stages = options.targets.map((target) => ({
      target,
      declared: new DeclaredPaths(outputsOf(target)),
      dir: undefined,
      files: [],
    }));
    this.#reader = this.#createReader();
  }

  /** Whether the archive has been read to its end. */
  get isComplete(): boolean {
    return this.#reader.isComplete;
  }

  /** All files received so far, by guest path; none before the archive is complete. */
  get files(): OutputFiles {
    return this.#reader.files;
  }

  /**
   * Stores a part of the archive.
   *
   * @throws {PlasmError} `protocol` if the archive is malformed, `state` if it cannot be stored
   */
  async add(data: Uint8Array): Promise<void> {
    for await (const { path, bytes, offset, data: part } of this.#reader.read(data)) {
      try {
        if (offset === 0) this.#begin(path, bytes);
        this.#content?.set(part, offset);
        // Synchronous: waiting for another thread takes longer than writing to the page cache.
        for (const file of this.#writers) writeAllSync(file, part);
        if (offset + part.length === bytes) this.#closeWriters();
      } catch (error) {
        throw writeError(path, error);
      }
    }
  }

  /** Discards what has been received, because the job runs again. */
  reset(): void {
    this.#discard();
    this.#reader = this.#createReader();
  }

  /**
   * Moves all files to their names. Every name is tried in the staging directory first, so that nothing is written if
   * one cannot be used.
   *
   * @throws {PlasmError} `bad-input` if a name cannot be used here, `conflict` if a file exists, `state`
   */
  async commit(
    { write }: { write: (data: Uint8Array) => Promise<void> },
  ): Promise<WrittenOutputs> {
    const { files } = this.#reader;
    const moves = [];
    for (const stage of this.#stages) {
      const { target } = stage;
      if (stage.files.length === 0 || target.host === "-") continue;
      const dir = stage.dir ??= createStagingDir(target);
      const staged = target.isShared
        ? stage.files.filter(({ path }) => !this.#isInput(path, files[path]?.hash))
        : stage.files;
      const inputs = target.isShared ? this.#options.inputs ?? {} : {};
      moves.push(moveFiles(staged, { target, dir, inputs }));
    }
    for (const move of moves) move();
    for (const { target, files } of this.#stages) {
      if (target.host !== "-") continue;
      for (const { source, content } of files) {
        if (content !== undefined) {
          await write(content);
          continue;
        }
        using file = await Deno.open(source);
        for await (const chunk of file.readable) await write(chunk);
      }
    }
    const asked = this.#options.targets.filter(({ isShared }) => !isShared);
    return { files, missing: missingOutputs(asked.flatMap(outputsOf), files) };
  }

  /** Removes the staging directories. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#discard();
  }

  #discard(): void {
    this.#closeWriters();
    this.#memory = 0;
    for (const stage of this.#stages) {
      if (stage.dir !== undefined) {
        try {
          Deno.removeSync(stage.dir, { recursive: true });
        } catch {
          // It was moved to its name, or its file system is gone.
        }
      }
      stage.dir = undefined;
      stage.files = [];
    }
  }

  #createReader(): OutputFilesReader {
    return new OutputFilesReader(this.#options.targets.flatMap(outputsOf));
  }

  /** Whether a file is an input that the job did not change. */
  #isInput(path: string, hash: string | undefined): boolean {
    const { inputs = {} } = this.#options;
    return Object.hasOwn(inputs, path) && inputs[path] === hash;
  }

  #begin(path: string, bytes: number): void {
    if (this.#isDisposed) {
      throw new PlasmError("interrupted", "Cannot store output: it is discarded");
    }
    const name = String(this.#count++);
    const isSmall = bytes <= SMALL_BYTES && this.#memory + bytes <= MEMORY_BYTES;
    const isFile = !path.endsWith("/");
    if (isSmall && isFile) {
      this.#content = new Uint8Array(bytes);
      this.#memory += bytes;
    }
    for (const stage of this.#stages) {
      if (!stage.declared.has(path)) continue;
      const content = this.#content;
      if (content !== undefined || !isFile) {
        stage.files.push({ path, source: name, content });
        continue;
      }
      stage.dir ??= createStagingDir(stage.target);
      const source = `${stage.dir}/${name}`;
      stage.files.push({ path, source, content });
      this.#writers.push(Deno.openSync(source, { write: true, createNew: true }));
    }
  }

  #closeWriters(): void {
    for (const file of this.#writers) file.close();
    this.#writers = [];
    this.#content = undefined;
  }
}

/** Creates a directory on the file system of the target: a rename cannot move content to another one. */
function createStagingDir({ host, guest }: OutputTarget): string {
  if (host === "-") return Deno.makeTempDirSync({ prefix: "plasm-output-" });
  const name = `.plasm-${toHex(crypto.getRandomValues(new Uint8Array(NAME_BYTES)))}`;
  const slash = host.lastIndexOf("/");
  const parent = slash < 0 ? "." : host.slice(0, slash) || "/";
  // An existing directory may be the root of another file system.
  const dir = `${guest.endsWith("/") && isDirectory(host) ? host : parent}/${name}`;
  orWriteError(guest, () => Deno.mkdirSync(dir, { mode: 0o700 }));
  return dir;
}

function isDirectory(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
