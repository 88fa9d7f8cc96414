/**
 * The parent's end of what joins it to an executor: a socket where it has one, else the pipes of the
 * process.
 * @module
 */
import type { ChildListener } from "./ipc_listener.ts";
import { LentBuffers } from "../../util/mod.ts";

/** Bytes to and from one executor. */
export class ChildConnection {
  /** What is read may lie in memory that is used again: see there how it is kept. */
  readonly lent: LentBuffers = new LentBuffers();
  readonly #child: Deno.ChildProcess;
  readonly #door: ChildListener | undefined;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #conn: Deno.Conn | undefined;

  /** @param door Where the process was told to connect, if it was. */
  constructor(child: Deno.ChildProcess, door: ChildListener | undefined) {
    this.#child = child;
    this.#door = door;
    this.#stdin = child.stdin.getWriter();
    if (door !== undefined) child.status.then(() => door.close());
  }

  /**
   * Sends bytes; the executor must have said something before. They may be changed once this resolves.
   *
   * @throws when the process has ended
   */
  async write(bytes: Uint8Array): Promise<void> {
    const conn = this.#conn;
    if (conn === undefined) return await this.#stdin.write(bytes);
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  }

  /** What the executor sends, until its end; what was given is to be taken before more is asked for. */
  async *read(): AsyncGenerator<Uint8Array, void, void> {
    const reader = this.#child.stdout.getReader();
    // A process that does not reach the socket goes on with the pipes.
    const first = reader.read();
    try {
      this.#conn = await Promise.race([first.then(() => undefined), this.#door?.accept()]
        .filter((promise) => promise !== undefined));
      if (this.#conn !== undefined) return yield* this.#readConnection(this.#conn);
      for (let next = await first; !next.done; next = await reader.read()) yield next.value;
    } finally {
      this.#door?.close();
      await reader.cancel().catch(() => {}); // its process has died
      reader.releaseLock();
    }
  }

  /** Closes this end, once the process has ended. */
  async close(): Promise<void> {
    this.#door?.close();
    try {
      this.#conn?.close();
    } catch {
      // It was closed before.
    }
    await Promise.allSettled([
      this.#stdin.close(),
      this.#child.stdout.locked ? Promise.resolve() : this.#child.stdout.cancel(),
    ]);
  }

  async *#readConnection(conn: Deno.Conn): AsyncGenerator<Uint8Array, void, void> {
    const read = (into: Uint8Array) => conn.read(into).catch(() => null); // a process that died resets it
    while (true) {
      const bytes = await this.lent.read(read);
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}
