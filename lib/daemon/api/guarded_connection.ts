/**
 * One connection through the gate.
 * @module
 */

/** Bounds of one connection; see {@linkcode GateLimits}. */
export interface ConnectionLimits {
  windowMs: number;
  leastBytes: number;
}

/** Options of {@linkcode GateConnection}. */
export interface GateConnectionOptions extends ConnectionLimits {
  /** What has been read of the client already. */
  first: Uint8Array;
}

const CHUNK = 64 * 1024;

/** How long a client that was answered early may go on sending, in milliseconds. */
const LINGER_MS = 1000;

/**
 * How long an answer must have been silent to count as complete, once the client has closed its sending
 * side, in milliseconds. Deno's server drops a request whose client has closed that side, so the
 * end is passed on only after the answer. An event stream that pauses longer is cut for such a client.
 */
const QUIET_MS = 250;

async function writeAll(conn: Deno.Conn, data: Uint8Array): Promise<void> {
  let rest = data;
  while (rest.length > 0) rest = rest.subarray(await conn.write(rest));
}

/** Passes bytes between a client and the server, and ends what makes no progress. */
export class GateConnection {
  readonly #client: Deno.Conn;
  readonly #server: Deno.Conn;
  readonly #first: Uint8Array;
  readonly #timer: ReturnType<typeof setInterval>;
  #up = 0;
  #down = 0;
  /** Whether the client has sent something that nothing has come back for. */
  #asked = false;
  #lastDown = 0;
  #closed = false;
  /** Whether the server has said all that it will. */
  #served = false;
  #quiet: ReturnType<typeof setTimeout> | undefined;
  #onQuiet: (() => void) | undefined;

  constructor(client: Deno.Conn, server: Deno.Conn, options: GateConnectionOptions) {
    const { first, ...limits } = options;
    this.#first = first;
    this.#client = client;
    this.#server = server;
    this.#timer = setInterval(() => {
      if (this.#down === 0 && this.#up < limits.leastBytes) return this.close();
      this.#up = this.#down = 0;
    }, limits.windowMs);
  }

  /** Passes bytes until either side is done; never throws. */
  async run(): Promise<void> {
    const up = this.#passUp().catch(() => this.close());
    try {
      await this.#passDown();
      // Closing on what a client still sends would reset the connection, and it may not have read the
      // answer yet that told it to stop.
      await this.#client.closeWrite();
      const linger = setTimeout(() => this.close(), LINGER_MS);
      this.#served = true;
      this.#wake();
      await up;
      clearTimeout(linger);
    } catch {
      // Either side is gone: there is nobody to tell.
    } finally {
      this.close();
      await up;
    }
  }

  async #passUp(): Promise<void> {
    const buffer = new Uint8Array(CHUNK);
    let refused = false;
    const pass = async (bytes: Uint8Array): Promise<void> => {
      this.#up += bytes.length;
      this.#asked = true;
      if (refused) return;
      await writeAll(this.#server, bytes).catch(() => refused = true);
    };
    if (this.#first.length > 0) await pass(this.#first);
    while (true) {
      const size = await this.#client.read(buffer);
      if (size === null) break;
      await pass(buffer.subarray(0, size));
    }
    if (refused) return;
    while (!this.#served && (this.#asked || performance.now() - this.#lastDown < QUIET_MS)) {
      await this.#pause();
    }
    if (!this.#served) await this.#server.closeWrite();
  }

  #wake(): void {
    clearTimeout(this.#quiet);
    this.#onQuiet?.();
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
      this.#quiet = setTimeout(resolve, QUIET_MS);
    });
  }

  async #passDown(): Promise<void> {
    const buffer = new Uint8Array(CHUNK);
    while (true) {
      const size = await this.#server.read(buffer);
      if (size === null) return;
      await writeAll(this.#client, buffer.subarray(0, size));
      this.#down += size;
      this.#asked = false;
      this.#lastDown = performance.now();
    }
  }

  /** Closes both sides. */
  close(): void {
    if (this.#closed) return;
    this.#closed = this.#served = true;
    clearInterval(this.#timer);
    this.#wake();
    this.#client.close();
    this.#server.close();
  }
}
