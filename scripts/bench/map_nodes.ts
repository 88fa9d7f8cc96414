/**
 * Measures `plasm map --remote` on four nodes that are 20 ms away in each direction: each in a network namespace, behind a
 * link that the emulator of tests/fixtures/remote delays. The items sleep, so that the nodes need not share the cores.
 *
 * @module
 */
import { assemble } from "../../tests/fixtures/hostile/wat.ts";
import type { BenchRow } from "./row.ts";

const EMULATOR = path("../../tests/fixtures/remote/link_emulator.py");

/** Nodes, each of which runs one job at a time. */
const NODES = 4;

/** One-way delay of a link, in milliseconds. */
const DELAY_MS = 20;

/** Items for each node. */
const ITEMS = 30;

/** Sleeps for a second of the monotonic clock. */
const SLEEP = `(module
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 1000000000))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))`;

/** Options of {@linkcode mapOnNodes}. */
export interface MapOnNodesOptions {
  /** Program and leading arguments. */
  plasm: readonly string[];
  /** Directory for the files of the hosts. */
  dir: string;
  /** Ends the wait for the nodes. */
  signal: AbortSignal;
}

/** Row of items of a second on four nodes; none where namespaces or TAP devices cannot be created. */
export async function* mapOnNodes(options: MapOnNodesOptions): AsyncGenerator<BenchRow> {
  const lab = await createLab().catch(() => undefined);
  if (lab === undefined) return;
  try {
    yield await measure(lab, options);
  } finally {
    await lab[Symbol.asyncDispose]();
  }
}

async function measure(lab: Lab, { plasm, dir, signal }: MapOnNodesOptions): Promise<BenchRow> {
  const module = `${dir}/sleep.wasm`;
  await Deno.writeFile(module, await assemble(SLEEP));
  const nodes = await Promise.all(
    lab.spaces.map((space, at) => startNode({ lab, plasm, space, at, dir, signal })),
  );
  const items = Array.from({ length: NODES * ITEMS }, (_, at) => String(at));
  const log = `${dir}/joblog`;
  const { success, stderr } = await lab.run(lab.client, [
    ...plasm,
    ...["map", "--remote", "--bootstrap", nodes[0]!, "--joblog", log],
    ...nodes.flatMap((node) => ["--peer", node]),
    ...[module, ":::", ...items],
  ], `${dir}/client`).output();
  if (!success) throw new Error(`Failed: ${new TextDecoder().decode(stderr)}`);
  const lines = (await Deno.readTextFile(log)).trimEnd().split("\n").slice(1);
  const ended = lines.map((line) => line.split("\t"))
    .map(([, , start, runtime]) => ({
      start: Number(start),
      end: Number(start) + Number(runtime),
    }));
  const begin = Math.min(...ended.map(({ start }) => start));
  const took = Math.max(...ended.map(({ end }) => end)) - begin;
  return {
    what: `${items.length} items of 1 s, ${NODES} nodes at ${2 * DELAY_MS} ms`,
    measured: `${took.toFixed(1)} s`,
    against: `perfect ${ITEMS} s`,
    ratio: took / ITEMS,
    goal: "≤ 1.1",
  };
}

/** Starts a node; resolves to its address. */
async function startNode(
  { lab, plasm, space, at, dir, signal }: MapOnNodesOptions & {
    lab: Lab;
    space: string;
    at: number;
  },
): Promise<string> {
  const child = lab.run(space, [
    ...plasm,
    ...["daemon", "--socket", `${dir}/socket${at}`, "--log-format", "json"],
    ...["--set", "network.enabled=true", "--set", "jobs.concurrency=1"],
    ...["--set", `network.listen=/ip4/10.9.${at}.2/tcp/4001`],
  ], `${dir}/node${at}`).spawn();
  lab.own(child);
  const found = Promise.withResolvers<string>();
  signal.addEventListener("abort", () => found.reject(signal.reason), { once: true });
  const reading = (async () => {
    let text = "";
    for await (const part of child.stderr.pipeThrough(new TextDecoderStream())) {
      text = (text + part).slice(-64 * 1024);
      const address = /\/ip4\/10\.9\.[^\s"]*\/p2p\/\w+/.exec(text)?.[0];
      if (text.includes("daemon-started") && address !== undefined) found.resolve(address);
    }
    found.reject(new Error(`A node exited: ${text.slice(-500)}`));
  })();
  reading.catch(found.reject);
  child.stdout.cancel();
  return await found.promise;
}

/** A client and nodes in namespaces, joined by links. */
interface Lab extends AsyncDisposable {
  client: string;
  spaces: readonly string[];
  /** Describes a command in a namespace. */
  run(space: string, command: readonly string[], stateDir: string): Deno.Command;
  /** Ends a process with the lab. */
  own(child: Deno.ChildProcess): void;
}

/** @throws {Error} where the system allows no namespaces or TAP devices */
async function createLab(): Promise<Lab> {
  const id = crypto.randomUUID().slice(0, 6);
  const client = `plasm-${id}-client`;
  const spaces = Array.from({ length: NODES }, (_, at) => `plasm-${id}-${at}`);
  const children: Deno.ChildProcess[] = [];
  const dispose = async (): Promise<void> => {
    for (const child of children) {
      try {
        child.kill("SIGTERM");
      } catch {
        // It has exited.
      }
      await child.status;
    }
    for (const space of [client, ...spaces]) await ip("netns", "del", space).catch(() => {});
  };
  try {
    await ip("netns", "add", client);
    await ip("-n", client, "link", "set", "lo", "up");
    for (const [at, space] of spaces.entries()) {
      await ip("netns", "add", space);
      await ip("-n", space, "link", "set", "lo", "up");
      const taps = [`pl${id}${at}a`, `pl${id}${at}b`];
      const emulator = new Deno.Command("python3", {
        args: [EMULATOR, ...taps, String(DELAY_MS), "0", "1"],
        stdin: "null",
        stdout: "piped",
        stderr: "null",
      }).spawn();
      children.push(emulator);
      const reader = emulator.stdout.getReader();
      const { done } = await reader.read();
      await reader.cancel();
      if (done) throw new Error("The link emulator exited");
      for (
        const [host, tap, name, end] of [[client, taps[0], `eth${at}`, 1], [
          space,
          taps[1],
          "eth0",
          2,
        ]] as const
      ) {
        await ip("link", "set", tap!, "netns", host, "name", name);
        await ip("-n", host, "addr", "add", `10.9.${at}.${end}/24`, "dev", name);
        await ip("-n", host, "link", "set", name, "up");
      }
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    client,
    spaces,
    run: (space, command, stateDir) =>
      new Deno.Command("ip", {
        args: ["netns", "exec", space, ...command],
        env: { PLASM_STATE_DIR: stateDir, NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }),
    own: (child) => children.unshift(child),
    [Symbol.asyncDispose]: dispose,
  };
}

async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  if (!success) throw new Error(`ip ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

function path(relative: string): string {
  return decodeURIComponent(new URL(relative, import.meta.url).pathname);
}
