/**
 * Parent's end of the connection to a child process: a Unix socket, otherwise the pipes of its standard streams.
 *
 * Sockets carry several times the throughput of pipes (docs/adr/0007).
 *
 * @module
 */
import { BufferPool, toHex } from "../../util/mod.ts";
import { SOCKET_NAME } from "./spawn/mod.ts";

/** Longest path that Linux accepts for a Unix socket: sizeof(sun_path) minus the terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Random bytes in the name of a listener's directory. */
const NAME_BYTES = 8;

/**
 * One-shot Unix socket listener for a child process.
 *
 * Each listener has its own directory of mode 0700, which is removed after the first connection, so that no other
 * process can impersonate the child. The daemon places it in a directory that is masked from executors: not even
 * another executor that has escaped its sandbox finds the socket.
 */
export class ChildListener {
  /** Directory that contains the socket only. */
  readonly dir: string;
  readonly #listener: Deno.UnixListener;
  #isOpen = true;

  private constructor(dir: string, listener: Deno.UnixListener) {
    this.dir = dir;
    this.#listener = listener;
  }

  /**
   * Creates a directory in `parentDir`, which is created if missing, and starts listening.
   *
   * @returns `undefined` if the path exceeds {@linkcode MAX_SOCKET_PATH_BYTES} or cannot be created; the caller
   * then uses pipes
   */
  static open(parentDir: string): ChildListener | undefined {
    const name = toHex(crypto.getRandomValues(new Uint8Array(NAME_BYTES)));
    const dir = `${parentDir}/${name}`;
    const path = `${dir}/${SOCKET_NAME}`;
    if (new TextEncoder().encode(path).length > MAX_SOCKET_PATH_BYTES) return undefined;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
      return new ChildListener(dir, Deno.listen({ transport: "unix", path }));
    } catch {
      removeDir(dir);
      return undefined;
    }
  }

  /** Waits for the child and closes the listener. Resolves to `undefined` if the listener is closed first. */
  async accept(): Promise<Deno.UnixConn | undefined> {
    try {
      return await this.#listener.accept();
    } catch {
      return undefined;
    } finally {
      this.close();
    }
  }

  /** Stops listening and removes the directory. Safe to call twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#listener.close();
    removeDir(this.dir);
  }
}

function removeDir(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // It was not created, or its parent has been removed.
  }
}

/** Byte stream to and from a child process. */
export class ChildConnection {
  /** Pool of the buffers that {@linkcode ChildConnection.read} reads into from a socket. */
  readonly buffers: BufferPool = new BufferPool();
  readonly #child: Deno.ChildProcess;
  readonly #listener: ChildListener | undefined;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  #conn: Deno.Conn | undefined;

  /** Connects to a child; `listener` is the one that it was started with, if any. */
  constructor(child: Deno.ChildProcess, listener: ChildListener | undefined) {
    this.#child = child;
    this.#listener = listener;
    this.#stdin = child.stdin.getWriter();
    if (listener !== undefined) child.status.then(() => listener.close());
  }

  /**
   * Writes bytes, after the first frame from the child if it has a listener. The caller may reuse their memory when
   * this resolves.
   *
   * @throws {Error} if the process has ended
   */
  async write(bytes: Uint8Array): Promise<void> {
    const conn = this.#conn;
    if (conn === undefined) return await this.#stdin.write(bytes);
    for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  }

  /** Yields chunks until the process ends. A chunk is valid until the next one is requested. */
  async *read(): AsyncGenerator<Uint8Array, void, void> {
    const reader = this.#child.stdout.getReader();
    // A child that cannot connect to the socket uses its pipes.
    const first = reader.read();
    try {
      this.#conn = await Promise.race([first.then(() => undefined), this.#listener?.accept()]
        .filter((promise) => promise !== undefined));
      if (this.#conn !== undefined) return yield* this.#readConnection(this.#conn);
      for (let next = await first; !next.done; next = await reader.read()) yield next.value;
    } finally {
      this.#listener?.close();
      await reader.cancel().catch(() => {}); // the process has ended
      reader.releaseLock();
    }
  }

  /** Closes the connection after the process has ended. */
  async close(): Promise<void> {
    this.#listener?.close();
    try {
      this.#conn?.close();
    } catch {
      // It is closed already.
    }
    await Promise.allSettled([
      this.#stdin.close(),
      this.#child.stdout.locked ? Promise.resolve() : this.#child.stdout.cancel(),
    ]);
  }

  async *#readConnection(conn: Deno.Conn): AsyncGenerator<Uint8Array, void, void> {
    const read = (into: Uint8Array) => conn.read(into).catch(() => null); // reset when the process is killed
    while (true) {
      const bytes = await this.buffers.read(read);
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}
