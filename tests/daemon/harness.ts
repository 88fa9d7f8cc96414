/**
 * A daemon in a directory of its own, with a client that holds every answer against the OpenAPI document.
 * @module
 */
import { type Config, type ConfigEntries, defaultConfig } from "../../lib/config/mod.ts";
import { type Daemon, startDaemon, type StartDaemonOptions } from "../../lib/daemon/daemon.ts";
import { sha256 } from "../../lib/job/hash.ts";
import { type CheckedFetch, checkedFetch } from "./openapi_check.ts";
import { FakeSandbox } from "./fake_run.ts";

/** Bytes that stand for a module where nothing compiles it. */
export const MODULE = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]);

/** Hash of {@linkcode MODULE}. */
export const MODULE_HASH: string = await sha256(MODULE);

/** What a test is given. */
export interface Fixture {
  daemon: Daemon;
  sandbox: FakeSandbox;
  dir: string;
  config: Config;
  /** Calls the API on the unix socket and checks what goes and comes. */
  call: CheckedFetch;
  /** Submits a job of the fake sandbox and returns its id. */
  submit: (args: string[], fields?: Record<string, unknown>) => Promise<string>;
  /** Waits until a job is over and returns it as the API tells it. */
  over: (id: string) => Promise<Record<string, unknown>>;
  /** Stops the daemon and starts another on the same directory. */
  restart: (options?: { graceMs?: number }) => Promise<void>;
}

/** A configuration for tests: everything in one directory. */
export function testConfig(dir: string, entries: ConfigEntries = {}): Config {
  const config = defaultConfig();
  config.state_dir = `${dir}/state`;
  config.socket = `${dir}/plasm.sock`;
  config.jobs.concurrency = 2;
  for (const [name, value] of Object.entries(entries)) {
    const path = name.split(".");
    const last = path.pop()!;
    let node = config as unknown as Record<string, unknown>;
    for (const part of path) node = node[part] as Record<string, unknown>;
    node[last] = value;
  }
  return config;
}

/** An HTTP client on a unix socket. */
export function unixClient(path: string): Deno.HttpClient {
  return Deno.createHttpClient({ proxy: { transport: "unix", path } });
}

/** Options of {@linkcode withDaemon}. */
export interface WithDaemonOptions extends StartDaemonOptions {
  /** Keys of the configuration. */
  config?: ConfigEntries;
  /** Whether jobs run in the real sandbox. */
  real?: boolean;
}

/** Runs a test with a daemon. */
export async function withDaemon(
  test: (fixture: Fixture) => Promise<void>,
  options: WithDaemonOptions = {},
): Promise<void> {
  const { config: entries, real = false, ...rest } = options;
  // Short: a socket's path has few bytes.
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  const sandbox = new FakeSandbox();
  const config = testConfig(dir, entries);
  const start = (): Promise<Daemon> =>
    startDaemon(config, { ...(real ? {} : { run: sandbox.run }), ...rest });
  const client = unixClient(config.socket!);
  const call = checkedFetch("http://localhost", { client });
  try {
    const fixture: Fixture = {
      daemon: await start(),
      sandbox,
      dir,
      config,
      call,
      submit: async (args, fields = {}) => {
        await call("PUT", `/v1/modules/${MODULE_HASH}`, {
          body: MODULE,
          headers: { "content-type": "application/wasm" },
        });
        const { manifest, ...others } = fields;
        const { json } = await call("POST", "/v1/jobs", {
          json: {
            manifest: { module_hash: MODULE_HASH, args, ...(manifest as object) },
            ...others,
          },
        });
        return json["id"] as string;
      },
      over: async (id) => {
        // The event stream ends when the job is over.
        await call("GET", `/v1/jobs/${id}/events`);
        return (await call("GET", `/v1/jobs/${id}`)).json;
      },
      restart: async (close = {}) => {
        await fixture.daemon.close({ graceMs: 0, ...close });
        fixture.daemon = await start();
      },
    };
    try {
      await test(fixture);
    } finally {
      await fixture.daemon.close({ graceMs: 0 });
    }
  } finally {
    client.close();
    await Deno.remove(dir, { recursive: true });
  }
}
