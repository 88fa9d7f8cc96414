/**
 * Starts and finds the background daemon of `plasm exec`: it keeps large programs compiled for the next run, and ends
 * when it has been idle (docs/adr/0021-background-daemon.md).
 *
 * @module
 */
import type { DaemonClient } from "../../client/mod.ts";
import {
  backgroundDir,
  backgroundSocket,
  IDENTITY_FILE,
  loadOrCreateIdentity,
  stateDir,
  writeStateFile,
} from "../../core/mod.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/mod.ts";
import { retry } from "../../util/async/mod.ts";
import type { CliIo } from "../io.ts";
import { hasBackgroundSocket } from "./background_socket.ts";
import type { ExecJob } from "./exec_job.ts";

/** Size from which compiling a module takes longer than starting a daemon, in bytes. */
const LARGE_MODULE_BYTES = 8 * 2 ** 20;

/** Maximum number of input files: each is sent in a separate request. */
const MAX_INPUTS = 64;

/** Jobs that run at once. None waits in the queue: the jobs of a pipeline wait for each other. */
const CONCURRENCY = 64;

/** Time that the daemon may take to accept connections, in milliseconds. */
const START_MS = 5000;

/**
 * Connects to the user's background daemon, or starts it for a large module. Resolves to `undefined` where the job
 * must run without one.
 */
export async function backgroundDaemon(
  { module, inputs }: Pick<ExecJob, "module" | "inputs">,
  io: CliIo,
): Promise<DaemonClient | undefined> {
  if (!Deno.build.standalone || Object.keys(inputs).length > MAX_INPUTS) return undefined;
  const env = (name: string): string | undefined => io.env(name);
  const isLarge = module.length >= LARGE_MODULE_BYTES;
  if (!isLarge && !hasBackgroundSocket(env)) return undefined;
  try {
    const socket = backgroundSocket(env);
    if (!await accepts(socket)) {
      // A killed daemon leaves its socket, which would delay each further run.
      await Deno.remove(socket).catch(() => {});
      if (!isLarge || !await start(io)) return undefined;
    }
    const { connectDaemon } = await import("../../client/mod.ts");
    return connectDaemon({ socket });
  } catch {
    return undefined; // the job runs in a process of its own, as without this file
  }
}

/** Whether a process accepts connections on a socket. */
async function accepts(path: string): Promise<boolean> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
    return true;
  } catch {
    return false;
  }
}

/** Starts the daemon; resolves to whether the configuration allows one. */
async function start(io: CliIo): Promise<boolean> {
  const env = (name: string): string | undefined => io.env(name);
  const { loadConfig } = await import("../../config/mod.ts");
  const { config } = await loadConfig({ env });
  const seconds = config.exec.linger_seconds;
  if (seconds === 0) return false;
  const dir = backgroundDir(env);
  const socket = backgroundSocket(env);
  await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
  await shareIdentity(stateDir(env), dir);
  const path = `${dir}/config.json`;
  await writeStateFile(path, configOf(dir, { socket, seconds }));
  const child = new Deno.Command("/proc/self/exe", {
    args: ["daemon", "--config", path],
    clearEnv: true,
    cwd: "/",
    // In its own session: it outlives this process and its terminal.
    detached: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  child.unref();
  const ended = new AbortController();
  void child.status.then(() => ended.abort());
  await retry(async () => (await Deno.connect({ transport: "unix", path: socket })).close(), {
    minMs: 10,
    maxMs: 50,
    forMs: START_MS,
    signal: AbortSignal.any([io.signal, ended.signal]),
  });
  return true;
}

/** Makes the daemon sign with the user's key, as a run without it does. */
async function shareIdentity(own: string, dir: string): Promise<void> {
  await loadOrCreateIdentity(own);
  const path = `${dir}/${IDENTITY_FILE}`;
  const copy = `${path}.${crypto.randomUUID()}.tmp`;
  await Deno.copyFile(`${own}/${IDENTITY_FILE}`, copy);
  await Deno.rename(copy, path);
}

/** Configuration of the daemon: the limits of a run without it, and no queue. */
function configOf(
  dir: string,
  { socket, seconds }: { socket: string; seconds: number },
): Record<string, unknown> {
  const { cpu_cores, memory_mb, timeout_seconds, cpu_seconds, output_files_bytes, fs_bytes } =
    DEFAULT_CEILINGS;
  return {
    state_dir: dir,
    socket,
    log: { level: "error" },
    jobs: {
      concurrency: CONCURRENCY,
      queue_max: 1,
      memory_budget_mb: CONCURRENCY * memory_mb,
      warm_executors: 0,
      ceilings: {
        cpu_cores,
        memory_mb,
        timeout_seconds,
        cpu_seconds,
        output_files_bytes,
        fs_bytes,
        input_bytes: fs_bytes,
      },
    },
    retention: { age_seconds: 0 },
    shutdown: { grace_seconds: 0, idle_seconds: seconds },
  };
}
