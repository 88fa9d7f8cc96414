/**
 * Limits connections in front of the HTTP server: `Deno.serve` accepts any number and waits indefinitely for request
 * heads and stalled readers.
 *
 * A connection takes one of few pending slots until its first authorized request, then one of many open slots. When
 * the pending slots are taken, new connections replace the oldest pending ones: clients that send nothing or have no
 * token compete with each other only, and one that sends its request at once is served.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { deadline, delay } from "../../util/async/mod.ts";
import { type DirectRoute, GuardedConnection, type UpgradeRoute } from "./guarded_connection.ts";
import type { RequestHead } from "./request_reader.ts";

/** Limits of a {@linkcode ConnectionGuard}. */
export interface ApiConnectionLimits {
  /** Maximum number of connections with an authorized request; further ones receive an error. @default {1024} */
  connections?: number;
  /**
   * Maximum number of connections without an authorized request; further ones replace the oldest.
   * @default {256}
   */
  pending?: number;
  /**
   * Time for which a pending connection is not replaced, in milliseconds: a burst of clients waits in the kernel's
   * queue until the requests of earlier ones have been read.
   * @default {50}
   */
  graceMs?: number;
  /**
   * Idle window, in milliseconds: a connection is closed if it received no byte and sent less than `leastBytes` within
   * it. Event streams send a heartbeat more often.
   * @default {60000}
   */
  windowMs?: number;
  /** Bytes that a client must send within a window in which it receives nothing. @default {16384} */
  leastBytes?: number;
}

/** Options of a {@linkcode ConnectionGuard}. */
export interface ConnectionGuardOptions extends ApiConnectionLimits {
  /** Path of the Unix socket of the HTTP server, which only this process can reach. */
  server: string;
  /**
   * Authorizes a request; returns whether it proves that the client is authorized.
   * @default {any process that can connect is authorized}
   * @throws {PlasmError} The error of its response.
   */
  authorize?: ((head: RequestHead) => Promise<boolean>) | undefined;
  /** Connections that bypass the HTTP server. @default {none} */
  upgrade?: UpgradeRoute | undefined;
  /** Responds without the HTTP server. @default {none} */
  direct?: DirectRoute | undefined;
  /** Reports whether the response for a target may have no end. @default {never} */
  isEndless?: ((target: string) => boolean) | undefined;
  /** Called with each error that is sent without the HTTP server. @default {nothing} */
  onRefuse?: ((error: PlasmError, head: RequestHead | undefined) => void) | undefined;
}

/** Delay after a failed accept(), in milliseconds. */
const ACCEPT_RETRY_MS = 100;

/** Interval at which the grace periods are checked, in milliseconds. */
const GRACE_POLL_MS = 5;

/** Forwards connections to the HTTP server. */
export class ConnectionGuard {
  readonly #listener: Deno.Listener;
  readonly #options: Required<ApiConnectionLimits> & ConnectionGuardOptions;
  readonly #upgraded = new Set<Promise<void>>();
  /** Connections without an authorized request, oldest first. */
  readonly #pending = new Set<GuardedConnection>();
  readonly #open = new Set<GuardedConnection>();
  readonly #serving: Promise<void>;
  #running = new Set<Promise<void>>();
  #stopped = false;

  constructor(listener: Deno.Listener, options: ConnectionGuardOptions) {
    this.#listener = listener;
    const limits = {
      connections: 1024,
      pending: 256,
      graceMs: 50,
      windowMs: 60_000,
      leastBytes: 16_384,
    };
    this.#options = { ...limits, ...options };
    this.#serving = this.#serve();
  }

  /** Number of connections. */
  get connections(): number {
    return this.#open.size + this.#pending.size;
  }

  async #serve(): Promise<void> {
    while (!this.#stopped) {
      let conn: Deno.Conn;
      try {
        conn = await this.#listener.accept();
      } catch {
        // Out of descriptors or memory, which is temporary: retry without spinning.
        if (!this.#stopped) await delay(ACCEPT_RETRY_MS);
        continue;
      }
      await this.#makeRoom();
      const running = this.#run(conn).finally(() => this.#running.delete(running));
      this.#running.add(running);
    }
  }

  /** Waits while all pending slots are taken; closes the older half of those that have exceeded their grace period. */
  async #makeRoom(): Promise<void> {
    const { pending, graceMs } = this.#options;
    while (!this.#stopped && this.#pending.size >= pending) {
      // Requests that have arrived are read first.
      await delay(GRACE_POLL_MS);
      if (this.#pending.size < pending) return;
      const isOld = ({ openedAt }: GuardedConnection): boolean =>
        performance.now() - openedAt >= graceMs;
      const old = [...this.#pending].slice(0, Math.ceil(pending / 2)).filter(isOld);
      for (const connection of old) {
        this.#pending.delete(connection);
        connection.close();
      }
    }
  }

  async #run(conn: Deno.Conn): Promise<void> {
    const { windowMs, leastBytes, server, direct, isEndless, onRefuse } = this.#options;
    const connection: GuardedConnection = new GuardedConnection(conn, {
      windowMs,
      leastBytes,
      isEndless,
      onRefuse,
      upgrade: this.#upgrade,
      direct,
      admit: (head) => this.#admit(connection, head),
      connect: () => Deno.connect({ transport: "unix", path: server }),
    });
    this.#pending.add(connection);
    await connection.run();
    this.#pending.delete(connection);
    this.#open.delete(connection);
  }

  /** Moves a connection to the open ones with its first authorized request. */
  async #admit(connection: GuardedConnection, head: RequestHead): Promise<void> {
    if (this.#open.has(connection)) return;
    if (!(await (this.#options.authorize?.(head) ?? true))) return;
    const { connections } = this.#options;
    if (this.#open.size >= connections) {
      throw new PlasmError("busy", `Cannot serve request: ${connections} connections are open`, {
        retryAfterMs: 1000,
        details: { allowed: connections },
      });
    }
    // A connection that was replaced while its token was checked is closed.
    if (this.#pending.delete(connection)) this.#open.add(connection);
  }

  get #upgrade(): UpgradeRoute | undefined {
    const { upgrade } = this.#options;
    if (upgrade === undefined) return undefined;
    return {
      path: upgrade.path,
      serve: async (conn, request) => {
        const serving = upgrade.serve(conn, request);
        this.#upgraded.add(serving);
        await serving.finally(() => this.#upgraded.delete(serving));
      },
    };
  }

  /** Waits a limited time for upgraded connections to end. */
  async drain(ms: number): Promise<void> {
    const error = (): Error => new Error("Upgraded connections are still open");
    await deadline(Promise.all(this.#upgraded), { ms, error }).catch(() => {});
  }

  /** Stops accepting connections. */
  stopListening(): void {
    this.#stopped = true;
    try {
      this.#listener.close();
    } catch { /* already closed */ }
  }

  /** Closes all connections and waits until they have ended. */
  async close(): Promise<void> {
    this.stopListening();
    for (const connection of [...this.#pending, ...this.#open]) connection.close();
    await this.#serving;
    await Promise.all(this.#running);
  }
}
