/**
 * Runs a daemon as a separate process and reads its resource usage from the system.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** Options of {@linkcode startNodeProcess}. */
export interface NodeProcessOptions {
  /** Existing directory for state and socket. */
  dir: string;
  /** Compiled binary. @default {from source} */
  binary?: string | undefined;
  /** Configuration keys. @default {{}} */
  set?: Record<string, string>;
}

/** Running daemon. */
export interface NodeProcess extends AsyncDisposable {
  readonly pid: number;
  readonly socket: string;
  /** Multiaddrs of the node. */
  readonly addresses: string[];
  /** Time from process start to the ready log line, in milliseconds. */
  readonly startMs: number;
}

/** Command line prefix of every plasm command. */
export function plasmCommand(binary?: string): { program: string; args: string[] } {
  if (binary !== undefined) return { program: binary, args: [] };
  const [, ...flags] = config.tasks.plasm.command.split(" ");
  const args = [...flags.slice(0, -1), "--quiet", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`];
  return { program: Deno.execPath(), args };
}

/** Starts a daemon and waits until it is ready. */
export async function startNodeProcess(options: NodeProcessOptions): Promise<NodeProcess> {
  const { dir, binary, set = {} } = options;
  const { program, args } = plasmCommand(binary);
  const socket = `${dir}/plasm.sock`;
  const keys = Object.entries(set).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  const begin = performance.now();
  const child = new Deno.Command(program, {
    args: [
      ...args,
      ...["daemon", "--state-dir", `${dir}/state`, "--socket", socket, "--log-format", "json"],
      ...keys,
    ],
    env: { XDG_CONFIG_HOME: dir },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const started = Promise.withResolvers<string>();
  const reading = read(child.stderr, started);
  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGTERM");
    } catch {
      // Already exited.
    }
    await child.status;
    await reading;
  };
  try {
    const log = await started.promise;
    return {
      pid: child.pid,
      socket,
      addresses: [...new Set(log.match(/\/ip4\/127[^\s"]*\/p2p\/\w+/g) ?? [])],
      startMs: performance.now() - begin,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Drains the log: an unread pipe would block the daemon. */
async function read(
  stderr: ReadableStream<Uint8Array<ArrayBuffer>>,
  started: PromiseWithResolvers<string>,
): Promise<void> {
  let log = "";
  let ready = false;
  for await (const part of stderr.pipeThrough(new TextDecoderStream())) {
    if (ready) continue;
    log += part;
    ready = log.includes('"event":"daemon-started"');
    if (ready) started.resolve(log);
  }
  started.reject(new Error(`Daemon exited during start-up:\n${log}`));
}

/** Resource usage of a process. */
export interface ProcessFigures {
  /** Resident memory in MiB. */
  rss: number;
  /** Private memory in MiB; resident memory also counts shared pages. */
  own: number;
  /** Open file descriptors. */
  fds: number;
}

/** Reads a process's resource usage with awk: Deno requires all permissions to read /proc. */
export async function figuresOf(pid: number): Promise<ProcessFigures> {
  const script = `
    awk '/^Rss:/ { rss = $2 } /^Private_/ { own += $2 } END { print rss, own }' /proc/${pid}/smaps_rollup
    ls /proc/${pid}/fd | wc -l`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  const [rss = NaN, own = NaN, fds = NaN] = new TextDecoder().decode(stdout).split(/\s+/).map(
    Number,
  );
  return { rss: rss / 1024, own: own / 1024, fds };
}

/** CPU time of a process so far, in seconds. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const script = `awk '{ print $1 }' /proc/${pid}/task/*/schedstat`;
  const { stdout } = await new Deno.Command("sh", { args: ["-c", script] }).output();
  const threads = new TextDecoder().decode(stdout).split(/\s+/).filter(Boolean).map(Number);
  return threads.reduce((sum, each) => sum + each, 0) / 1e9;
}

/** Returns the descendants of a process, in no particular order. */
export async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["--no-headers", "-o", "pid=", "--ppid", `${pid}`],
  }).output();
  const own = new TextDecoder().decode(stdout).split(/\s+/).filter(Boolean).map(Number);
  const below = await Promise.all(own.map(childrenOf));
  return [...own, ...below.flat()];
}
