/**
 * A daemon as its own process, and what the system says of it.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

/** Options of {@linkcode startNodeProcess}. */
export interface NodeProcessOptions {
  /** Directory that is there, for its state and socket. */
  dir: string;
  /** The compiled binary. @default {from source} */
  binary?: string | undefined;
  /** Keys of the configuration. @default {{}} */
  set?: Record<string, string>;
}

/** A daemon that answers. */
export interface NodeProcess extends AsyncDisposable {
  readonly pid: number;
  readonly socket: string;
  /** Where peers reach it. */
  readonly addresses: string[];
  /** From the start of the process until it said that it runs, in milliseconds. */
  readonly startMs: number;
}

/** The command line, and the arguments that every command begins with. */
export function plasmCommand(binary?: string): { program: string; args: string[] } {
  if (binary !== undefined) return { program: binary, args: [] };
  const [, ...flags] = config.tasks.plasm.command.split(" ");
  const args = [...flags.slice(0, -1), "--quiet", "--config", `${ROOT}deno.json`, `${ROOT}main.ts`];
  return { program: Deno.execPath(), args };
}

/** Starts a daemon and waits until it runs. */
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
      // It has ended by itself.
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

/** Reads the log to its end: who does not read holds the daemon up. */
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
  started.reject(new Error(`The daemon ended at once:\n${log}`));
}

/** What the system says of a process. */
export interface ProcessFigures {
  /** Resident memory in MiB. */
  rss: number;
  /** Memory that is its own alone, in MiB: pages that processes share count in each one's resident memory. */
  own: number;
  /** Open descriptors. */
  fds: number;
}

/** Reads a process's figures. Deno itself gives nothing of /proc without all permissions. */
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

/** The processes below one, in no order. */
export async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", {
    args: ["--no-headers", "-o", "pid=", "--ppid", `${pid}`],
  }).output();
  const own = new TextDecoder().decode(stdout).split(/\s+/).filter(Boolean).map(Number);
  const below = await Promise.all(own.map(childrenOf));
  return [...own, ...below.flat()];
}
