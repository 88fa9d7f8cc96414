/**
 * Starts the daemon's components in dependency order and closes them in reverse.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { type Config, planReload, type ReloadPlan } from "../config/mod.ts";
import {
  type Identity,
  listenPath,
  loadNativeHash,
  stateDir as defaultStateDir,
  VERSION,
} from "../core/mod.ts";
import { configureLogging, getLog } from "../core/log/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { maskFromExecutors } from "../sandbox/host/spawn/mod.ts";
import { ExecutorPool } from "../sandbox/host/mod.ts";
import { streamJob } from "../sandbox/mod.ts";
import {
  type ApiConnectionLimits,
  type ApiContext,
  ApiServer,
  type DaemonNetwork,
  socketDir,
  type TcpGuardOptions,
} from "./api/mod.ts";
import { PIPE_START, servePipe } from "./pipe/mod.ts";
import { Jobs, type RunJob } from "./jobs/mod.ts";
import { lockStateDir, removeStaleFiles, STALE_STATE_FILES } from "./state_dir.ts";
import { metricsText } from "./metrics.ts";
import type { NetworkContext } from "./peers/mod.ts";
import { loadNodeIdentity } from "./node_identity.ts";
import { JobStore, startRetention, stateError } from "./store/mod.ts";

/** Options of {@linkcode startDaemon}. */
export interface StartDaemonOptions {
  /** Aborts the start. @default {never} */
  signal?: AbortSignal | undefined;
  /** Joins a network; called when the node can run jobs. @default {no network} */
  network?: ((context: NetworkContext) => Promise<DaemonNetwork | undefined>) | undefined;
  /** Runs jobs in place of the sandbox, for tests. @default {the sandbox, with a pool of executors} */
  run?: RunJob | undefined;
  /** Bounds of connections to the API. @default {the limits of ConnectionGuard} */
  connectionLimits?: ApiConnectionLimits | undefined;
  /** Looks up an environment variable. @default {Deno.env.get} */
  env?: ((name: string) => string | undefined) | undefined;
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
  /** Path of the API's socket. */
  readonly socket: string;
  /** Where the API listens on TCP, if it does. */
  readonly tcp: { hostname: string; port: number; token: string } | undefined;
  /** State directory. */
  readonly stateDir: string;
  /** Applies reloadable settings; reports the others. */
  reload(next: Config): ReloadPlan;
  /** Stops admission, waits the grace period for running jobs, then closes all components. */
  close(options?: CloseOptions): Promise<void>;
}

function makeStateDir(path: string): void {
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw stateError(`use state directory ${path}`, error);
  }
}

function maxMemoryBytes({ jobs }: Config): number {
  return (jobs.ceilings.memory_mb * 2 ** 20) + jobs.ceilings.fs_bytes;
}

/** The parts, each of which is closed by the stack. */
interface Parts {
  identity: Identity;
  log: Logger;
  store: JobStore;
  pool: ExecutorPool | undefined;
  jobs: Jobs;
}

/** Creates an empty directory for executors' IPC sockets, masked inside the sandbox. */
function emptyExecutorSocketDir(stateDir: string): string {
  const dir = `${stateDir}/doors`;
  try {
    Deno.removeSync(dir, { recursive: true }); // left by one that was killed
  } catch { /* there was none */ }
  return dir;
}

/** What runs jobs: everything but API and network. */
async function startJobs(
  stack: AsyncDisposableStack,
  options: { config: Config; stateDir: string; socket: string; run: RunJob | undefined },
): Promise<Parts> {
  const { config, stateDir, socket, run } = options;
  makeStateDir(stateDir);
  await loadNativeHash();
  stack.use(lockStateDir(stateDir));
  removeStaleFiles(stateDir, STALE_STATE_FILES);
  const identity = await loadNodeIdentity({ stateDir, log: getLog("daemon") });
  const log = getLog("daemon").with({ node_id: identity.peerId });
  const store = stack.use(new JobStore(stateDir, { cacheBytes: config.cache.max_bytes }));
  if (store.damage !== undefined) {
    const { reason, movedTo, savedJobs, lostRows } = store.damage;
    log.error("job-store-damaged", {
      reason,
      moved_to: movedTo,
      saved_jobs: savedJobs,
      lost_rows: lostRows,
    });
  }
  store.removeStrays();
  if (run === undefined) maskFromExecutors([stateDir, await socketDir(socket)]);
  const { warm_executors, concurrency } = config.jobs;
  const pool = run === undefined
    ? stack.use(
      new ExecutorPool({
        warm: warm_executors,
        // One for each job that may run at once, or every job would wait for one to start.
        maxIdle: Math.max(concurrency || navigator.hardwareConcurrency, warm_executors + 1),
        maxMemoryBytes: maxMemoryBytes(config),
        socketDir: emptyExecutorSocketDir(stateDir),
      }),
    )
    : undefined;
  const jobs = new Jobs({
    store,
    config,
    signer: identity,
    run: run ?? streamJob,
    executors: pool,
    log,
  });
  stack.defer(() => jobs.close({ graceMs: 0 }));
  return { identity, log, store, pool, jobs };
}

/** A daemon from its parts. */
class RunningDaemon implements Daemon {
  readonly identity: Identity;
  readonly socket: string;
  readonly stateDir: string;
  readonly tcp: Daemon["tcp"];
  readonly #parts: Parts;
  readonly #stack: AsyncDisposableStack;
  readonly #stopping: AbortController;
  readonly #config: { current: Config };

  constructor(options: {
    parts: Parts;
    server: ApiServer;
    stateDir: string;
    stack: AsyncDisposableStack;
    stopping: AbortController;
    config: { current: Config };
  }) {
    const { parts, server, stateDir, stack, stopping, config } = options;
    this.identity = parts.identity;
    this.socket = server.socket;
    this.stateDir = stateDir;
    this.tcp = server.tcp;
    this.#parts = parts;
    this.#stack = stack;
    this.#stopping = stopping;
    this.#config = config;
  }

  reload(next: Config): ReloadPlan {
    const { jobs, store, log } = this.#parts;
    const plan = planReload(this.#config.current, next);
    this.#config.current = plan.config;
    jobs.reload(plan.config);
    store.blobs.setMaxBytes(plan.config.cache.max_bytes);
    if (plan.applied.some((key) => key.startsWith("log."))) configureLogging(plan.config.log);
    log.info("config-reloaded", { applied: plan.applied, needs_restart: plan.ignored });
    return plan;
  }

  async close(options: CloseOptions = {}): Promise<void> {
    if (this.#stack.disposed) return;
    const { jobs, log } = this.#parts;
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
 * Starts a daemon. When this resolves it serves its socket and has recovered jobs of an earlier process.
 *
 * @throws {PlasmError} `busy` when another daemon runs on the state directory or the socket; `state`,
 * `bad-identity`, `bad-config`
 */
export async function startDaemon(
  initial: Config,
  options: StartDaemonOptions = {},
): Promise<Daemon> {
  const env = options.env ?? ((name: string) => Deno.env.get(name));
  const stack = new AsyncDisposableStack();
  const stopping = new AbortController();
  const config = { current: initial };
  try {
    const stateDir = initial.state_dir ?? defaultStateDir(env);
    const socket = initial.socket ?? listenPath(env);
    options.signal?.throwIfAborted();
    const parts = await startJobs(stack, { config: initial, stateDir, socket, run: options.run });
    const { identity, log, store, pool, jobs } = parts;
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
      });
    const context: ApiContext = {
      store,
      jobs,
      identity,
      config: () => config.current,
      metrics,
      network,
      streams,
      stopping: signal,
    };
    const { connectionLimits } = options;
    const upgrade = {
      start: PIPE_START,
      serve: (conn: Deno.Conn, first: Uint8Array, guard: (() => TcpGuardOptions) | undefined) =>
        servePipe(conn, first, { context, log, guard }),
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
    options.signal?.throwIfAborted();
    const recovered = await jobs.recover();
    log.info("daemon-started", { version: VERSION, socket, state_dir: stateDir, ...recovered });
    return new RunningDaemon({ parts, server, stateDir, stack, stopping, config });
  } catch (error) {
    stopping.abort();
    await stack.disposeAsync();
    throw PlasmError.from(error);
  }
}
