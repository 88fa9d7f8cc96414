/**
 * Starts and stops nodes as real processes on loopback for the demo.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const LISTEN = "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/noise";

/** Start timeout in milliseconds. */
const START_TIMEOUT_MS = 60_000;

/** Options of {@linkcode startNode}. */
export interface NodeOptions {
  /** State directory. */
  dir: string;
  /** Configuration keys. */
  set: Record<string, string>;
}

/** Running node; disposal stops it and waits until its process has exited. */
export interface DemoNode extends AsyncDisposable {
  /** Multiaddrs that the node listens on. */
  addresses: string[];
}

/** Starts `plasm daemon` with the permissions of the `plasm` task. */
export async function startNode({ dir, set }: NodeOptions): Promise<DemoNode> {
  await Deno.mkdir(dir);
  const [, ...flags] = config.tasks.plasm.command.split(" ");
  const keys = { "network.enabled": "true", "network.listen": LISTEN, ...set };
  const child = new Deno.Command("/proc/self/exe", {
    args: [
      ...flags.slice(0, -1),
      "--quiet",
      "--config",
      `${ROOT}deno.json`,
      `${ROOT}main.ts`,
      "daemon",
      ...["--state-dir", dir, "--socket", `${dir}/socket`, "--log-format", "json"],
      ...Object.entries(keys).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream());
  const ready = Promise.withResolvers<string[]>();
  const listening = listen(lines, ready);
  const timer = setTimeout(
    () => ready.reject(new Error("Node did not start in time")),
    START_TIMEOUT_MS,
  );
  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGTERM");
    } catch {
      // Already exited.
    }
    await child.status;
    await listening;
  };
  try {
    return { addresses: await ready.promise, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Drains a node's log: an unread pipe would block the node. */
async function listen(
  lines: ReadableStream<string>,
  ready: PromiseWithResolvers<string[]>,
): Promise<void> {
  let text = "";
  let started = false;
  for await (const part of lines) {
    if (started) continue;
    text += part;
    started = text.includes('"event":"daemon-started"');
    if (!started) continue;
    ready.resolve([...new Set(text.match(/\/ip4\/127[^\s"]*\/p2p\/\w+/g) ?? [])]);
  }
  ready.reject(new Error(`Node exited during start-up:\n${text}`));
}
