/**
 * A unix socket on which one executor finds its parent. Bytes go through it at several times the
 * speed of pipes: a pipe holds 64 KiB, and each operation of Deno on a pipe that is a program's own
 * standard stream is handed to another thread and back.
 *
 * Who could connect in the executor's place would be given its job, so the socket lies in a directory
 * of its own that only this user may enter, for the time of the executor's start. Where directories
 * are hidden from executors it is to lie in one of those: then not even another executor that has
 * broken out of the engine finds it.
 * @module
 */
import { toHex } from "../../util/mod.ts";

/** Name of the socket in its directory. */
export const SOCKET_NAME = "s";

/** Bytes of a socket's path that Linux takes (sun_path, without its end). */
const MAX_PATH_BYTES = 107;

/** Random bytes in a directory's name: enough that two are never the same. */
const NAME_BYTES = 8;

/** Waits for one connection. */
export class ChildListener {
  /** The directory in which nothing but the socket lies. */
  readonly dir: string;
  readonly #listener: Deno.UnixListener;
  #open = true;

  private constructor(dir: string, listener: Deno.UnixListener) {
    this.dir = dir;
    this.#listener = listener;
  }

  /** Listens in a new directory below `parent`, which is made; undefined where that cannot be. */
  static open(parent: string): ChildListener | undefined {
    const name = toHex(crypto.getRandomValues(new Uint8Array(NAME_BYTES)));
    const dir = `${parent}/${name}`;
    const path = `${dir}/${SOCKET_NAME}`;
    if (new TextEncoder().encode(path).length > MAX_PATH_BYTES) return undefined;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
      return new ChildListener(dir, Deno.listen({ transport: "unix", path }));
    } catch {
      remove(dir);
      return undefined;
    }
  }

  /** The first who comes; undefined once the door is closed. */
  async accept(): Promise<Deno.UnixConn | undefined> {
    try {
      return await this.#listener.accept();
    } catch {
      return undefined;
    } finally {
      this.close();
    }
  }

  /** Lets nobody in any more. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#listener.close();
    remove(this.dir);
  }
}

function remove(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // It was never made, or its parent is gone.
  }
}
