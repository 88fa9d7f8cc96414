/**
 * Writes the job log of `plasm map --joblog`, in the format of GNU parallel.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { isPipe } from "../../util/async/mod.ts";
import { escapeJson, escapeText } from "../../util/mod.ts";
import { fileErrorReason } from "../host_files.ts";

const HEADER = "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";

/** One line of the log. */
export interface ItemLogEntry {
  index: number;
  node: string;
  /** Unix time in milliseconds. */
  startedAt: number;
  durationMs: number;
  sentBytes: number;
  receivedBytes: number;
  exitStatus: number;
  /** Text of the item. */
  item: string;
}

/** Log with one line for each job that has ended. A line is written at once, so that only the last one can be incomplete. */
export class ItemLog implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  /**
   * Opens a log.
   *
   * @param resume Whether to append to an existing one; it is replaced otherwise
   * @throws {PlasmError} `usage` if it cannot be written
   */
  constructor(path: string, { resume }: { resume: boolean }) {
    this.#path = path;
    try {
      // Writing to a full pipe would block the process, signals included.
      if (isPipe(path)) throw new Error("it is a named pipe");
      this.#file = Deno.openSync(path, {
        read: true,
        write: true,
        create: true,
        truncate: !resume,
      });
      if (endOfLines(this.#file) === 0) this.#write(HEADER);
    } catch (error) {
      const reason = fileErrorReason(error);
      throw new PlasmError("usage", `Cannot write job log: ${reason}: ${escapeText(path)}`);
    }
  }

  /**
   * Appends a line.
   *
   * @throws {PlasmError} `state`
   */
  add(entry: ItemLogEntry): void {
    const fields = [
      entry.index,
      entry.node,
      (entry.startedAt / 1000).toFixed(3),
      (entry.durationMs / 1000).toFixed(3),
      entry.sentBytes,
      entry.receivedBytes,
      entry.exitStatus,
      0,
      escapeJson(entry.item.toWellFormed()),
    ];
    try {
      this.#write(`${fields.join("\t")}\n`);
    } catch (error) {
      const reason = fileErrorReason(error);
      throw new PlasmError("state", `Cannot write job log: ${reason}: ${escapeText(this.#path)}`);
    }
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
  }

  #write(text: string): void {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
  }
}

/** Moves to the end of the last complete line and cuts off what follows: the writer was killed. */
function endOfLines(file: Deno.FsFile): number {
  const { size, isFile } = file.statSync();
  if (!isFile) return 0;
  const tail = new Uint8Array(Math.min(size, 256 * 1024));
  file.seekSync(size - tail.length, Deno.SeekMode.Start);
  let count = 0;
  while (count < tail.length) count += file.readSync(tail.subarray(count)) ?? tail.length;
  const end = size - tail.length + tail.lastIndexOf(10) + 1;
  if (end < size) file.truncateSync(end);
  file.seekSync(end, Deno.SeekMode.Start);
  return end;
}
