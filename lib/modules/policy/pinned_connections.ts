/**
 * Connects downloads to the addresses that a policy has checked.
 *
 * A client that resolved the name again could reach another address than the one checked (DNS rebinding). TLS must still
 * verify the name, so that HTTPS goes through a CONNECT proxy in this process, which connects to checked addresses only.
 *
 * @module
 */
import { abortable } from "../../util/async/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type HostPolicy, serverName } from "./host_policy.ts";

/** Maximum size of a request to the proxy, in bytes. */
const MAX_REQUEST_BYTES = 8192;

const DEFAULT_HTTPS_PORT = 443;

/** Options of {@linkcode PinnedConnections}. */
export interface PinnedConnectionsOptions {
  policy: HostPolicy;
  /** Certificates of authorities. */
  caCerts: string[];
}

/** HTTP clients whose connections lead to checked addresses. */
export class PinnedConnections implements Disposable {
  readonly #policy: HostPolicy;
  readonly #proxy: ConnectProxy;
  readonly #https: Deno.HttpClient;
  readonly #http = new Map<string, Deno.HttpClient>();

  constructor({ policy, caCerts }: PinnedConnectionsOptions) {
    this.#policy = policy;
    this.#proxy = new ConnectProxy();
    this.#https = Deno.createHttpClient({ caCerts, proxy: this.#proxy.address });
  }

  /**
   * Checks the server of a URL.
   *
   * @returns the client for it
   * @throws {PlasmError} `policy`, `unreachable`, `interrupted`
   */
  async clientFor(url: URL, signal: AbortSignal | undefined): Promise<Deno.HttpClient> {
    const addresses = await this.#policy.check(url, signal);
    if (url.protocol === "https:") {
      this.#proxy.allow(`${serverName(url)}:${url.port || DEFAULT_HTTPS_PORT}`, addresses);
      return this.#https;
    }
    const address = `${addresses[0]}:${url.port || 80}`;
    let client = this.#http.get(address);
    if (client === undefined) {
      const port = Number(url.port || 80);
      client = Deno.createHttpClient({
        proxy: { transport: "tcp", hostname: addresses[0]!, port },
      });
      this.#http.set(address, client);
    }
    return client;
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    this.#https.close();
    for (const client of this.#http.values()) client.close();
    this.#proxy[Symbol.dispose]();
  }
}

/** A CONNECT proxy on loopback for this process, which has its password. */
class ConnectProxy implements Disposable {
  /** How a client uses it. */
  readonly address: Deno.Proxy;
  readonly #authorization: string;
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #targets = new Map<string, readonly string[]>();
  readonly #connections = new Set<Deno.Conn>();
  readonly #closed = new AbortController();

  constructor() {
    const password = crypto.getRandomValues(new Uint8Array(32)).toHex();
    this.#authorization = `Basic ${btoa(`plasm:${password}`)}`;
    const { port } = this.#listener.addr as Deno.NetAddr;
    this.address = {
      url: `http://127.0.0.1:${port}`,
      basicAuth: { username: "plasm", password },
    };
    void this.#serve();
  }

  /** Allows connections to a host and port by some addresses. */
  allow(target: string, addresses: readonly string[]): void {
    this.#targets.set(target, addresses);
  }

  async #serve(): Promise<void> {
    try {
      for await (const connection of this.#listener) {
        this.#connections.add(connection);
        this.#tunnel(connection).catch(() => {}).finally(() => this.#close(connection));
      }
    } catch {
      // The listener was closed.
    }
  }

  async #tunnel(client: Deno.TcpConn): Promise<void> {
    const target = this.#target(await readRequest(client));
    const server = target && await this.#connect(target.addresses, target.port);
    const status = target === undefined
      ? "403 Forbidden"
      : server === undefined
      ? "502 Bad Gateway"
      : "200 OK";
    await client.write(new TextEncoder().encode(`HTTP/1.1 ${status}\r\n\r\n`));
    if (server === undefined) return;
    this.#connections.add(server);
    const { signal } = this.#closed;
    try {
      await Promise.race([
        client.readable.pipeTo(server.writable, { signal }),
        server.readable.pipeTo(client.writable, { signal }),
      ]);
    } finally {
      this.#close(server);
    }
  }

  #target(request: string): { addresses: readonly string[]; port: number } | undefined {
    const [line = "", ...fields] = request.split("\r\n");
    const [, name, port] = /^CONNECT (\S+):(\d{1,5}) HTTP\/1\.1$/.exec(line) ?? [];
    const isAuthorized = fields.some((field) =>
      field.toLowerCase().startsWith("proxy-authorization:") &&
      field.slice(field.indexOf(":") + 1).trim() === this.#authorization
    );
    if (name === undefined || port === undefined || !isAuthorized) return undefined;
    const host = name.toLowerCase().replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
    const addresses = this.#targets.get(`${host}:${port}`);
    return addresses && { addresses, port: Number(port) };
  }

  /** Connects to the first address that accepts. */
  async #connect(addresses: readonly string[], port: number): Promise<Deno.TcpConn | undefined> {
    for (const hostname of addresses) {
      try {
        const connecting = Deno.connect({ hostname, port });
        return await abortable(connecting, { signal: this.#closed.signal }).catch((error) => {
          connecting.then((late) => late.close(), () => {});
          throw error;
        });
      } catch (error) {
        if (this.#closed.signal.aborted) throw error;
      }
    }
    return undefined;
  }

  #close(connection: Deno.Conn): void {
    if (!this.#connections.delete(connection)) return;
    try {
      connection.close();
    } catch {
      // A stream that ended has closed it.
    }
  }

  [Symbol.dispose](): void {
    this.#closed.abort(new PlasmError("interrupted", "The download has ended"));
    this.#listener.close();
    for (const connection of [...this.#connections]) this.#close(connection);
  }
}

/** Reads a request without a body. */
async function readRequest(connection: Deno.Conn): Promise<string> {
  const buffer = new Uint8Array(MAX_REQUEST_BYTES);
  let length = 0;
  while (length < buffer.length) {
    const count = await connection.read(buffer.subarray(length));
    if (count === null) break;
    length += count;
    const text = new TextDecoder("latin1").decode(buffer.subarray(0, length));
    if (text.endsWith("\r\n\r\n")) return text.slice(0, -4);
  }
  return "";
}
