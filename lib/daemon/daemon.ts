/**
 * Starts the daemon's components in dependency order and closes them in reverse.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { type Config, type LoadedConfig, planReload, type ReloadPlan } from "../config/mod.ts";
import {
  type Identity,
  listenPath,
  loadNativeHash,
  stateDir as defaultStateDir,
  VERSION,
} from "../core/mod.ts";
import { configureLogging, getLog } from "../core/log/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { delay } from "../util/async/mod.ts";
import { maskFromExecutors } from "../sandbox/host/spawn/mod.ts";
import { ExecutorPool } from "../sandbox/host/mod.ts";
import { executeJob } from "../sandbox/mod.ts";
import {
  type ApiConnectionLimits,
  type ApiContext,
  ApiServer,
  type DaemonNetwork,
  PIPE_PATH,
  type ReceivedUpgrade,
  RefusalLog,
  socketDir,
} from "./api/mod.ts";
import { servePipe } from "./pipe/mod.ts";
import { startIdleCollection } from "./idle_collection.ts";
import { Jobs, type RunJob } from "./jobs/mod.ts";
import { lockStateDir, removeStaleFiles, STALE_STATE_FILES } from "./state_dir.ts";
import { metricsText } from "./metrics.ts";
import { ModuleFetcher } from "./module_fetcher.ts";
import type { NetworkContext } from "./peers/mod.ts";
import { loadNodeIdentity } from "./state_dir.ts";
import { JobStore, startRetention, stateError } from "./store/mod.ts";

/** Options of {@linkcode startDaemon}. */
export interface StartDaemonOptions {
  /** Aborts the start. @default {never} */
  signal?: AbortSignal | undefined;
  /** Joins a network; called once the node can run jobs. @default {no network} */
  network?: ((context: NetworkContext) => Promise<DaemonNetwork | undefined>) | undefined;
  /** Replaces the sandbox, for tests. @default {the sandbox with a pool of executors} */
  run?: RunJob | undefined;
  /** Limits on API connections. @default {the limits of ConnectionGuard} */
  connectionLimits?: ApiConnectionLimits | undefined;
  /** Looks up an environment variable. @default {Deno.env.get} */
  env?: ((name: string) => string | undefined) | undefined;
  /** File and sources of the initial configuration. @default {none} */
  origin?: ConfigOrigin | undefined;
  /** Reads the configuration again, on each reload. @default {reloads are rejected} */
  load?: (() => Promise<LoadedConfig>) | undefined;
}

/** Options of {@linkcode Daemon.close}. */
export interface CloseOptions {
  /** Grace period of running jobs, in milliseconds. @default {shutdown.grace_seconds} */
  graceMs?: number | undefined;
  /** Ends the grace period immediately. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A running daemon. */
export interface Daemon extends AsyncDisposable {
  /** The node's key. */
  readonly identity: Identity;
  /** Path of the API's Unix socket. */
  readonly socket: string;
  /** Address and token of the API on TCP; `undefined` if it is not configured. */
  readonly tcp: { hostname: string; port: number; token: string } | undefined;
  /** Address and token of the metrics for other machines; `undefined` if it is not configured. */
  readonly metrics: Daemon["tcp"];
  /** State directory. */
  readonly stateDir: string;
  /**
   * Reads the configuration again and applies the settings that need no restart. An invalid one changes nothing.
   *
   * @throws {PlasmError} `bad-config`; `conflict` without a configuration to read
   */
  reload(): Promise<ReloadPlan>;
  /** Resolves once no job has been queued or running for a time; rejects when the signal aborts. */
  idle(ms: number, options: { signal: AbortSignal }): Promise<void>;
  /** Stops admission, waits up to the grace period for running jobs, then closes all components. */
  close(options?: CloseOptions): Promise<void>;
}

function makeStateDir(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
      throw new PlasmError("state", `Cannot use state directory ${path}: it is not a directory`);
    }
    throw stateError(`use state directory ${path}`, error);
  }
}

function maxMemoryBytes({ jobs }: Config): number {
  return (jobs.ceilings.memory_mb * 2 ** 20) + jobs.ceilings.fs_bytes;
}

/** Components of the daemon; the stack closes them. */
interface Components {
  identity: Identity;
  log: Logger;
  store: JobStore;
  pool: ExecutorPool | undefined;
  jobs: Jobs;
}

/** Creates an empty directory for executors' IPC sockets, masked inside the sandbox. */
function emptyExecutorSocketDir(stateDir: string): string {
  const dir = `${stateDir}/ipc`;
  try {
    Deno.removeSync(dir, { recursive: true }); // left by a killed daemon
  } catch { /* missing */ }
  return dir;
}

/** Starts the components that run jobs: all but the API and the network. */
async function startJobs(
  stack: AsyncDisposableStack,
  options: { config: Config; stateDir: string; socket: string; run: RunJob | undefined },
): Promise<Components> {
  const { config, stateDir, socket, run } = options;
  makeStateDir(stateDir);
  await loadNativeHash();
  stack.use(lockStateDir(stateDir));
  removeStaleFiles(stateDir, STALE_STATE_FILES);
  const identity = await loadNodeIdentity({ stateDir, log: getLog("daemon") });
  const log = getLog("daemon").with({ node_id: identity.peerId });
  const store = stack.use(new JobStore(stateDir, { cacheBytes: config.cache.max_bytes }));
  if (store.damage !== undefined) {
    const { reason, movedTo, recoveredJobs, lostRows } = store.damage;
    log.error("job-store-damaged", {
      reason,
      moved_to: movedTo,
      recovered_jobs: recoveredJobs,
      lost_rows: lostRows,
    });
  }
  store.removeStrays();
  if (run === undefined) maskFromExecutors([stateDir, await socketDir(socket)]);
  const { warm_executors, warm_modules_mb, concurrency } = config.jobs;
  const pool = run === undefined
    ? stack.use(
      new ExecutorPool({
        warm: warm_executors,
        // One per concurrent job: with fewer, each job would wait for an executor to start.
        maxIdle: Math.max(concurrency || navigator.hardwareConcurrency, warm_executors + 1),
        maxMemoryBytes: maxMemoryBytes(config),
        warmModuleBytes: warm_modules_mb * 2 ** 20,
        socketDir: emptyExecutorSocketDir(stateDir),
      }),
    )
    : undefined;
  const jobs = new Jobs({
    store,
    config,
    signer: identity,
    run: run ?? executeJob,
    executors: pool,
    log,
  });
  stack.defer(() => jobs.close({ graceMs: 0 }));
  return { identity, log, store, pool, jobs };
}

/** File and sources of a configuration. */
export type ConfigOrigin = Pick<LoadedConfig, "file" | "sources">;

/** The configuration in use; a reload replaces it. */
interface ConfigInUse {
  current: Config;
  origin: ConfigOrigin;
}

/** Options of {@linkcode configReloader}. */
interface ReloaderOptions {
  components: Components;
  config: ConfigInUse;
  load: StartDaemonOptions["load"];
}

/** Creates the function that reloads the configuration; concurrent reloads run one after the other. */
function configReloader({ components, config, load }: ReloaderOptions): Daemon["reload"] {
  const { jobs, store, log } = components;
  const reload = async (): Promise<ReloadPlan> => {
    if (load === undefined) {
      throw new PlasmError("conflict", "Cannot reload: this daemon reads no configuration", {
        hint: "Restart the program that started it",
      });
    }
    let next: LoadedConfig;
    try {
      next = await load();
    } catch (error) {
      // An invalid file must not stop a running node.
      const refusal = PlasmError.from(error);
      log.error("reload-refused", { error: refusal });
      throw refusal;
    }
    const plan = planReload(config.current, next.config);
    config.current = plan.config;
    config.origin = next;
    jobs.reload(plan.config);
    store.blobs.setMaxBytes(plan.config.cache.max_bytes);
    if (plan.applied.some((key) => key.startsWith("log."))) configureLogging(plan.config.log);
    log.info("config-reloaded", { applied: plan.applied, needs_restart: plan.ignored });
    return plan;
  };
  let last: Promise<unknown> = Promise.resolve();
  return () => {
    const next = last.then(reload);
    last = next.catch(() => {});
    return next;
  };
}

/** Daemon made of its components. */
class RunningDaemon implements Daemon {
  readonly identity: Identity;
  readonly socket: string;
  readonly stateDir: string;
  readonly tcp: Daemon["tcp"];
  readonly metrics: Daemon["metrics"];
  readonly reload: Daemon["reload"];
  readonly #components: Components;
  readonly #stack: AsyncDisposableStack;
  readonly #stopping: AbortController;
  readonly #config: { current: Config };

  constructor(options: {
    components: Components;
    server: ApiServer;
    stateDir: string;
    stack: AsyncDisposableStack;
    stopping: AbortController;
    config: { current: Config };
    reload: Daemon["reload"];
  }) {
    const { components, server, stateDir, stack, stopping, config } = options;
    this.reload = options.reload;
    this.identity = components.identity;
    this.socket = server.socket;
    this.stateDir = stateDir;
    this.tcp = server.tcp;
    this.metrics = server.metrics;
    this.#components = components;
    this.#stack = stack;
    this.#stopping = stopping;
    this.#config = config;
  }

  async idle(ms: number, { signal }: { signal: AbortSignal }): Promise<void> {
    const { jobs } = this.#components;
    while (jobs.idleMs < ms) await delay(ms - jobs.idleMs + 1, { signal });
  }

  async close(options: CloseOptions = {}): Promise<void> {
    if (this.#stack.disposed) return;
    const { jobs, log } = this.#components;
    log.info("daemon-stopping", { running: jobs.load.running, queued: jobs.load.waiting });
    const graceMs = options.graceMs ?? this.#config.current.shutdown.grace_seconds * 1000;
    // Clients receive their results before the socket closes.
    await jobs.close({ graceMs, signal: options.signal });
    this.#stopping.abort();
    await this.#stack.disposeAsync();
    log.info("daemon-stopped");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close({ graceMs: 0 });
  }
}

/**
 * Starts a daemon; resolves once it accepts requests and has recovered the jobs of an earlier process.
 *
 * @throws {PlasmError} `busy` if another daemon uses the state directory or the socket; `state`,
 * `bad-identity`, `bad-config`
 */
export async function startDaemon(
  initial: Config,
  options: StartDaemonOptions = {},
): Promise<Daemon> {
  const env = options.env ?? ((name: string) => Deno.env.get(name));
  const stack = new AsyncDisposableStack();
  const stopping = new AbortController();
  const config: ConfigInUse = {
    current: initial,
    origin: options.origin ?? { file: undefined, sources: {} },
  };
  try {
    const stateDir = initial.state_dir ?? defaultStateDir(env);
    const socket = initial.socket ?? listenPath(env);
    options.signal?.throwIfAborted();
    const components = await startJobs(stack, {
      config: initial,
      stateDir,
      socket,
      run: options.run,
    });
    const { identity, log, store, pool, jobs } = components;
    const { signal } = stopping;
    const network = await options.network?.({
      config: () => config.current,
      identity,
      jobs,
      store,
      stateDir,
      signal,
    });
    if (network !== undefined) stack.use(network);

    const streams = { count: 0 };
    const serving: { server?: ApiServer } = {};
    const metrics = (): string =>
      metricsText({
        store,
        jobs,
        executors: pool?.stats,
        streams: streams.count,
        connections: serving.server?.connections ?? 0,
        audits: network?.audits(),
      });
    const reload = configReloader({ components, config, load: options.load });
    const context: ApiContext = {
      store,
      jobs,
      identity,
      config: () => config.current,
      origin: () => config.origin,
      stateDir,
      socket,
      listening: () => serving.server?.listening ?? { socket, tcp: null, metrics: null },
      reload,
      refusals: new RefusalLog({ log }),
      executors: () => Object.values(pool?.stats ?? {}).reduce((sum, count) => sum + count, 0),
      metrics,
      modules: new ModuleFetcher({ store, config: () => config.current, env }),
      network,
      streams,
      stopping: signal,
    };
    const { connectionLimits } = options;
    const upgrade = {
      path: PIPE_PATH,
      serve: (conn: Deno.Conn, request: ReceivedUpgrade) =>
        servePipe(conn, request, { context, log }),
    };
    const server = await ApiServer.start(context, {
      socket,
      stateDir,
      config: initial,
      log,
      connectionLimits,
      upgrade,
    });
    serving.server = server;
    stack.defer(() => server.close());
    stack.defer(startRetention(store, () => config.current, log));
    stack.defer(startIdleCollection({ idleMs: () => jobs.idleMs }));
    options.signal?.throwIfAborted();
    const recovered = await jobs.recover();
    const { tcp } = server.listening;
    log.info("daemon-started", {
      version: VERSION,
      socket,
      ...(tcp === null ? {} : { tcp }),
      state_dir: stateDir,
      ...recovered,
    });
    return new RunningDaemon({ components, server, stateDir, stack, stopping, config, reload });
  } catch (error) {
    stopping.abort();
    await stack.disposeAsync();
    throw PlasmError.from(error);
  }
}
