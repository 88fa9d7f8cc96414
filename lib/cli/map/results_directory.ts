/**
 * Stores the results of `plasm map --results`: one directory for each item, complete or absent.
 *
 * @module
 */
import {
  claimHash,
  Hasher,
  type Measured,
  type Receipt,
  verifyEnvelope,
  verifyReceipt,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { PlacedJob } from "../../map/mod.ts";
import { isPipe } from "../../util/async/mod.ts";
import { escapeText } from "../../util/mod.ts";
import { fileErrorReason } from "../host_files.ts";
import type { OutputTarget } from "../output_files/mod.ts";

/** Names the run that a directory belongs to. */
const MARKER = "map.json";

/** Results that are not complete; what is in it when a map starts is of one that was killed. */
const PARTIAL = ".partial";

/** Items in one directory: file systems become slow with a million names in one. */
const ITEMS_PER_DIRECTORY = 1000;

/** Size of a read, in bytes. */
const READ_BYTES = 64 * 1024;

/** Names in an item's directory. */
export const ITEM_FILES = {
  stdout: "stdout",
  stderr: "stderr",
  outputs: "outputs",
  receipt: "receipt.json",
  manifest: "manifest.json",
  envelope: "envelope.json",
  item: "item",
} as const;

/** Options of {@linkcode ResultsDirectory.open}. */
export interface OpenResultsOptions {
  /** What identifies the run besides its items and its module. */
  run: Record<string, unknown>;
  /** Whether to continue a run. */
  resume: boolean;
}

/** Directory of results, which one map at a time uses. */
export class ResultsDirectory implements Disposable {
  readonly path: string;
  readonly #lock: Deno.FsFile;
  #count = 0;

  private constructor(path: string, lock: Deno.FsFile) {
    this.path = path;
    this.#lock = lock;
  }

  /**
   * Opens a directory, and creates it if it does not exist.
   *
   * @throws {PlasmError} `conflict` if it belongs to another run, or has results and `resume` is not set; `busy` if
   * another map uses it; `state` if it cannot be used
   */
  static open(path: string, { run, resume }: OpenResultsOptions): ResultsDirectory {
    return orStateError(path, () => {
      try {
        Deno.mkdirSync(path, { recursive: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
        throw conflict(path, "it is not a directory", "Use another name");
      }
      const marker = `${path}/${MARKER}`;
      const text = `${JSON.stringify({ version: 1, ...run })}\n`;
      if (isPipe(marker)) throw conflict(path, "it has other files", "Use another directory");
      const existing = readText(marker);
      if (existing === undefined) {
        for (const { name } of Deno.readDirSync(path)) {
          if (name !== MARKER) throw conflict(path, "it has other files", "Use another directory");
        }
      } else if (!resume) {
        throw conflict(
          path,
          "it has the results of a run",
          "Add --resume, or use another directory",
        );
      } else if (existing !== text) {
        throw conflict(
          path,
          "it has the results of a run with other options",
          "Repeat the options of that run, or use another directory",
        );
      }
      const lock = Deno.openSync(marker, { read: true, write: true, create: true });
      if (!lock.tryLockSync(true)) {
        lock.close();
        throw new PlasmError("busy", `Cannot use results: another map uses ${escapeText(path)}`);
      }
      if (existing === undefined) lock.writeSync(new TextEncoder().encode(text));
      removeTree(`${path}/${PARTIAL}`);
      Deno.mkdirSync(`${path}/${PARTIAL}`);
      return new ResultsDirectory(path, lock);
    });
  }

  /** Creates a directory for the result of an attempt. */
  createPartial(): string {
    const dir = `${this.path}/${PARTIAL}/${this.#count++}`;
    return orStateError(dir, () => {
      Deno.mkdirSync(dir);
      return dir;
    });
  }

  /** Directory of an item's result. */
  itemPath(index: number): string {
    return `${this.path}/${Math.floor(index / ITEMS_PER_DIRECTORY)}/${index}`;
  }

  /** Directory of the output files that have no other place. */
  outputsPath(index: number): string {
    return `${this.itemPath(index)}/${ITEM_FILES.outputs}`;
  }

  /** Whether an item has a result, or its outputs may have been written before the map was killed. */
  has(index: number): boolean {
    try {
      return Deno.statSync(this.itemPath(index)).isDirectory;
    } catch {
      return false;
    }
  }

  /** Records that an item's outputs are about to be written: after a kill they may be replaced. */
  announce(index: number): void {
    const path = this.itemPath(index);
    orStateError(path, () => Deno.mkdirSync(path, { recursive: true }));
  }

  /** Makes a partial result that of an item. */
  commit(partial: string, index: number): void {
    const path = this.itemPath(index);
    orStateError(path, () => {
      try {
        Deno.renameSync(partial, path);
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        // The first item of a directory, or an older result in the way.
        Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
        this.remove(index);
        Deno.renameSync(partial, path);
      }
    });
  }

  /** Removes the result of an item. */
  remove(index: number): void {
    const old = `${this.path}/${PARTIAL}/${this.#count++}`;
    try {
      Deno.renameSync(this.itemPath(index), old);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return;
      throw error;
    }
    removeTree(old);
  }

  /**
   * Reads the receipt of an item, if it holds for a job and for what is stored.
   *
   * @param targets Where the outputs of the job were written
   * @param signers Number of nodes that must have signed the claim; 1 if it is missing
   */
  async find(
    index: number,
    { job, targets, signers = 1 }: {
      job: PlacedJob;
      targets: readonly OutputTarget[];
      signers?: number | undefined;
    },
  ): Promise<Receipt | undefined> {
    const dir = this.itemPath(index);
    const text = readText(`${dir}/${ITEM_FILES.receipt}`);
    if (text === undefined) return undefined;
    try {
      const receipt = JSON.parse(text) as Receipt;
      const outputs: Record<string, Measured> = {};
      for (const path of Object.keys(receipt.claim.outputs)) {
        outputs[path] = await measure(hostOf(path, targets));
      }
      const verified = await verifyReceipt(receipt, {
        manifest: job.manifest,
        module: job.moduleHash,
        stdin: job.stdin,
        stdout: await measure(`${dir}/${ITEM_FILES.stdout}`),
        stderr: await measure(`${dir}/${ITEM_FILES.stderr}`),
        outputs,
      });
      if (signers === 1) return verified;
      const envelope = await verifyEnvelope(
        JSON.parse(Deno.readTextFileSync(`${dir}/${ITEM_FILES.envelope}`)),
      );
      const isSame = await claimHash(envelope.claim) === verified.run.claim_hash;
      return isSame && envelope.signers.length >= signers ? verified : undefined;
    } catch {
      // Damaged, of another job, or incomplete: the item runs again.
      return undefined;
    }
  }

  /** Replaces a document of the run, such as its summary. Returns its path. */
  write(name: string, value: unknown): string {
    const path = `${this.path}/${name}`;
    return orStateError(path, () => {
      const temporary = `${this.path}/${PARTIAL}/document-${this.#count++}`;
      Deno.writeTextFileSync(temporary, `${JSON.stringify(value, null, 2)}\n`);
      Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
      Deno.renameSync(temporary, path);
      return path;
    });
  }

  /** Removes partial results and releases the directory. */
  [Symbol.dispose](): void {
    try {
      removeTree(`${this.path}/${PARTIAL}`);
    } catch {
      // The next map removes it.
    }
    this.#lock.close();
  }
}

/** Runs an operation on the directory. @throws {PlasmError} `state` */
export function orStateError<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (cause) {
    if (cause instanceof PlasmError) throw cause;
    const reason = fileErrorReason(cause);
    throw new PlasmError("state", `Cannot store results: ${reason}: ${escapeText(path)}`, {
      hint: "Free space on the disk or choose another directory, then add --resume",
      cause,
    });
  }
}

/** Where a file of a claim was written. */
function hostOf(path: string, targets: readonly OutputTarget[]): string {
  for (const { guest, host } of targets) {
    if (path === guest) return host;
    if (guest.endsWith("/") && path.startsWith(guest)) return `${host}/${path.slice(guest.length)}`;
    if (guest === "./" && !path.startsWith("/")) return `${host}/${path}`;
  }
  throw new Error(`${path} is not an output`);
}

/** Hash and size of a file; an empty directory counts as an empty file. */
async function measure(path: string): Promise<Measured> {
  const hasher = new Hasher();
  if (!(await Deno.stat(path)).isDirectory) {
    const file = await Deno.open(path);
    try {
      for (const buffer = new Uint8Array(READ_BYTES);;) {
        const count = await file.read(buffer);
        if (count === null) break;
        await hasher.update(buffer.subarray(0, count));
      }
    } finally {
      file.close();
    }
  }
  return { hash: await hasher.digest(), bytes: hasher.bytes };
}

function readText(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function removeTree(path: string): void {
  try {
    Deno.removeSync(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function conflict(path: string, why: string, hint: string): PlasmError {
  return new PlasmError("conflict", `Cannot use results directory: ${why}: ${escapeText(path)}`, {
    hint,
  });
}
