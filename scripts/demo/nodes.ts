/**
 * Nodes as real processes on loopback, for the demo: started, listened to, and ended.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);
const LISTEN = "/ip4/127.0.0.1/tcp/0,/ip4/127.0.0.1/udp/0/quic";

/** The longest wait for a node to start, in milliseconds. */
const PATIENCE_MS = 60_000;

/** Options of {@linkcode startNode}. */
export interface NodeOptions {
  /** Where it keeps what it keeps. */
  dir: string;
  /** Keys of the configuration. */
  set: Record<string, string>;
}

/** A node that answers. */
export interface DemoNode {
  /** The addresses that it listens on. */
  addresses: string[];
  /** Ends it; resolves when it is gone. */
  stop(): Promise<void>;
}

/** Starts `plasm daemon` with exactly the permissions of the `plasm` task. */
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
  const timer = setTimeout(() => ready.reject(new Error("The node did not start")), PATIENCE_MS);
  const stop = async (): Promise<void> => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await child.status;
    await listening;
  };
  try {
    return { addresses: await ready.promise, stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Reads a node's log to its end: who does not read holds it up. */
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
  ready.reject(new Error(`The node ended at once:\n${text}`));
}
