/**
 * Limits connections and closes idle ones in front of the HTTP server: `Deno.serve` accepts any number and waits
 * indefinitely for request heads and stalled readers.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** Bounds of a {@linkcode ConnectionGuard}. */
export interface ApiConnectionLimits {
  /** Connections at once; further ones receive an error and are closed. @default {1024} */
  connections?: number;
  /**
   * Within each such time a connection must have been sent a byte, or have sent `leastBytes`, in
   * milliseconds. Event streams send a heartbeat more often.
   * @default {60000}
   */
  windowMs?: number;
  /** What a client must send within the window while it is sent nothing. @default {16384} */
  leastBytes?: number;
}

/** Connections that are not for the HTTP server. */
export interface UpgradeRoute {
  /** How they begin. */
  start: Uint8Array;
  /** Serves one to its end and closes it; `first` is what has been read of it. Never throws. */
  serve: (conn: Deno.Conn, first: Uint8Array) => Promise<void>;
}

/** Options of a {@linkcode ConnectionGuard}. */
export interface ConnectionGuardOptions extends ApiConnectionLimits {
  /** @default {none} */
  upgrade?: UpgradeRoute | undefined;
}

/** Bytes of a connection's first read. */
const FIRST_BYTES = 16 * 1024;

/** How long to wait after the system has refused a connection, in milliseconds. */
const ACCEPT_REST_MS = 100;

async function writeAll(conn: Deno.Conn, data: Uint8Array): Promise<void> {
  let rest = data;
  while (rest.length > 0) rest = rest.subarray(await conn.write(rest));
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // It was closed before.
  }
}

function refusal(limit: number): Uint8Array {
  const error = new PlasmError("busy", `Cannot serve request: ${limit} connections are open`, {
    retryAfterMs: 1000,
  });
  const body = JSON.stringify({ error: error.toJSON() });
  return new TextEncoder().encode(
    `HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n` +
      `content-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** Passes connections on to a unix socket that only this process can reach. */
export class ConnectionGuard {
  readonly #listener: Deno.Listener;
  readonly #target: string;
  readonly #limits: Required<ApiConnectionLimits>;
  readonly #upgrade: UpgradeRoute | undefined;
  readonly #upgraded = new Set<Promise<void>>();
  readonly #open = new Set<{ close: () => void }>();
  readonly #serving: Promise<void>;
  #handling = new Set<Promise<void>>();
  #stopped = false;

  constructor(listener: Deno.Listener, target: string, options: ConnectionGuardOptions = {}) {
    const { upgrade, ...limits } = options;
    this.#upgrade = upgrade;
    this.#listener = listener;
    this.#target = target;
    this.#limits = { connections: 1024, windowMs: 60_000, leastBytes: 16_384, ...limits };
    this.#serving = this.#serve();
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#open.size;
  }

  async #serve(): Promise<void> {
    while (!this.#stopped) {
      let conn: Deno.Conn;
      try {
        conn = await this.#listener.accept();
      } catch {
        // No descriptors or no memory: that passes. Without a rest this would spin until it does.
        if (!this.#stopped) await new Promise((resolve) => setTimeout(resolve, ACCEPT_REST_MS));
        continue;
      }
      const handling = this.#handle(conn).finally(() => this.#handling.delete(handling));
      this.#handling.add(handling);
    }
  }

  async #handle(client: Deno.Conn): Promise<void> {
    if (this.#open.size >= this.#limits.connections) {
      await writeAll(client, refusal(this.#limits.connections)).catch(() => {});
      return client.close();
    }
    // Counted from here on; close() can end it before the server connection exists.
    const opening = { close: () => close(client) };
    this.#open.add(opening);
    try {
      const connecting = Deno.connect({ transport: "unix", path: this.#target });
      connecting.catch(() => {}); // reported where it is awaited
      const first = await this.#readFirst(client).catch(() => new Uint8Array());
      const upgrade = this.#isUpgrade(first) ? this.#upgrade : undefined;
      if (first.length === 0 || upgrade !== undefined) {
        connecting.then(close, () => {});
        if (upgrade === undefined) return close(client);
        const serving = upgrade.serve(client, first);
        this.#upgraded.add(serving);
        await serving.finally(() => this.#upgraded.delete(serving));
        return;
      }
      const connection = new GuardedConnection(client, await connecting, {
        ...this.#limits,
        first,
      });
      opening.close = () => connection.close();
      await connection.run();
    } catch {
      close(client); // the server has stopped
    } finally {
      this.#open.delete(opening);
    }
  }

  /** What a connection begins with, until it is plain whether that is an upgrade; empty at its end. */
  async #readFirst(client: Deno.Conn): Promise<Uint8Array> {
    const { start } = this.#upgrade ?? { start: new Uint8Array() };
    const buffer = new Uint8Array(FIRST_BYTES);
    const timer = setTimeout(() => close(client), this.#limits.windowMs);
    try {
      let size = 0;
      do {
        const count = await client.read(buffer.subarray(size));
        if (count === null) break;
        size += count;
      } while (
        size < start.length && start.subarray(0, size).every((byte, at) => byte === buffer[at])
      );
      return buffer.subarray(0, size);
    } finally {
      clearTimeout(timer);
    }
  }

  #isUpgrade(first: Uint8Array): boolean {
    return this.#upgrade?.start.every((byte, at) => byte === first[at]) ?? false;
  }

  /** Waits a limited time for upgraded connections to end. */
  async drain(ms: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, ms);
    await Promise.race([Promise.all(this.#upgraded), late.promise]);
    clearTimeout(timer);
  }

  /** Takes no more connections. */
  stopListening(): void {
    this.#stopped = true;
    try {
      this.#listener.close();
    } catch { /* closed already */ }
  }

  /** Closes every connection and waits until they are. */
  async close(): Promise<void> {
    this.stopListening();
    for (const connection of [...this.#open]) connection.close();
    await this.#serving;
    await Promise.allSettled(this.#handling);
  }
}

/** Bounds of one connection; see {@linkcode ApiConnectionLimits}. */
export interface GuardLimits {
  windowMs: number;
  leastBytes: number;
}

/** Options of {@linkcode GuardedConnection}. */
export interface GuardedConnectionOptions extends GuardLimits {
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

/** Passes bytes between a client and the server, and ends what makes no progress. */
export class GuardedConnection {
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

  constructor(client: Deno.Conn, server: Deno.Conn, options: GuardedConnectionOptions) {
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
      // Either side has disconnected.
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
