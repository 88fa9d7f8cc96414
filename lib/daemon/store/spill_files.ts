/**
 * Stores outputs too large for the database, one file per job and stream.
 * @module
 */
import type { OutputStream } from "./job_record.ts";
import { syncFile } from "../../util/mod.ts";
import { stateError } from "./database.ts";

const STREAMS: readonly OutputStream[] = ["stdout", "stderr"];

/** Directory of spill files. */
export class SpillFiles {
  readonly #dir: string;

  /** @throws {PlasmError} `state` when the directory cannot be created */
  constructor(dir: string) {
    this.#dir = dir;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw stateError(`create directory ${dir}`, error);
    }
  }

  #path(id: string, stream: OutputStream): string {
    return `${this.#dir}/${id}.${stream}`;
  }

  /**
   * Writes bytes at an offset, creating the file when missing. File offsets equal stream offsets, so the part
   * stored in the database is a hole.
   *
   * @throws {PlasmError} `state`
   */
  async write(id: string, stream: OutputStream, offset: number, data: Uint8Array): Promise<void> {
    try {
      using file = await Deno.open(this.#path(id, stream), {
        write: true,
        create: true,
        mode: 0o600,
      });
      await file.seek(offset, Deno.SeekMode.Start);
      let rest = data;
      while (rest.length > 0) rest = rest.subarray(await file.write(rest));
    } catch (error) {
      throw stateError("save output", error);
    }
  }

  /**
   * Makes a job's files durable.
   *
   * @throws {PlasmError} `state`
   */
  async sync(id: string): Promise<void> {
    for (const stream of STREAMS) {
      try {
        await syncFile(this.#path(id, stream), { write: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw stateError("save output", error);
      }
    }
  }

  /**
   * Reads `length` bytes at an offset.
   *
   * @throws {PlasmError} `state`, also when the file is shorter than its rows claim
   */
  async read(
    id: string,
    stream: OutputStream,
    range: { offset: number; length: number },
  ): Promise<Uint8Array> {
    try {
      using file = await Deno.open(this.#path(id, stream), { read: true });
      await file.seek(range.offset, Deno.SeekMode.Start);
      const data = new Uint8Array(range.length);
      let filled = 0;
      while (filled < data.length) {
        const n = await file.read(data.subarray(filled));
        if (n === null) throw new Error(`${stream} of ${id} ends at ${range.offset + filled}`);
        filled += n;
      }
      return data;
    } catch (error) {
      throw stateError("read output", error);
    }
  }

  /** Deletes a job's files. */
  remove(id: string): void {
    for (const stream of STREAMS) {
      try {
        Deno.removeSync(this.#path(id, stream));
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw stateError("delete output", error);
      }
    }
  }

  /** Deletes files of unknown jobs; returns their number. */
  removeStrays(known: (id: string) => boolean): number {
    let removed = 0;
    for (const { name } of Deno.readDirSync(this.#dir)) {
      if (known(name.split(".")[0] ?? "")) continue;
      Deno.removeSync(`${this.#dir}/${name}`);
      removed++;
    }
    return removed;
  }
}
