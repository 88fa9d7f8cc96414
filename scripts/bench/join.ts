/**
 * Measures what finding a node costs besides the job, in a network of three nodes and of thirty: a cold
 * `exec --remote`, an anonymous job by the daemon, and the parts of both. The nodes share the machine with the client.
 *
 * @module
 */
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { sha256 } from "../../lib/core/hash.ts";
import { createManifest } from "../../lib/core/manifest.ts";
import { createNetwork } from "../../lib/p2p/network.ts";
import { PeerDialer } from "../../lib/p2p/dialer/peer_dialer.ts";
import { findCandidates } from "../../lib/remote/libp2p/network_binding.ts";
import { jobDialer } from "../../lib/remote/libp2p/stream_pool.ts";
import { bytesSource, type RemoteJob } from "../../lib/remote/client/remote_job.ts";
import { runOnPeers } from "../../lib/remote/client/run_on_peers.ts";
import { startLightPeers } from "./light_peers.ts";
import { type NodeProcess, plasmCommand, startNodeProcess } from "./node_process.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

/** Nodes of each network. Three are daemons, the others share a process. */
const COUNTS = [3, 30];
const DAEMONS = 3;

/** Measured rounds; each runs every command once, so that all meet the same load. */
const ROUNDS = 15;

const HELLO = decodeURIComponent(
  new URL("../../examples/hello/hello.wasm", import.meta.url).pathname,
);
const STDIN = new TextEncoder().encode("Hello, World");

const COLD = "cold exec --remote";
const SUBMIT = "submit --remote --wait";
const GOALS_MS: Record<string, number> = { [COLD]: 300, [SUBMIT]: 90 };

/** Most that a command may take in the larger network, relative to the smaller one. */
const GROWTH = 1.5;

const SETTINGS = {
  "network.enabled": "true",
  "network.listen": "/ip4/127.0.0.1/tcp/0",
  "network.limits.inbound_per_second": "1000",
  "jobs.warm_executors": "1",
};

/** Section `join`. */
export const join: BenchSection = async function* ({ binary, signal }) {
  const smaller = new Map<string, number>();
  for (const count of COUNTS) {
    await using network = await BenchNetwork.start(count, binary);
    for (const [what, runs] of await network.measure(signal)) {
      const ms = median(runs.map(({ wall }) => wall));
      const before = smaller.get(what);
      const limit = GOALS_MS[what] === undefined
        ? undefined
        : GOALS_MS[what] * (before ? GROWTH : 1);
      yield {
        what: `${what}, ${count} nodes`,
        measured: `${ms.toFixed(0)} ms`,
        against: `${median(runs.map(({ cpu }) => cpu)).toFixed(0)} ms of CPU time` +
          (before === undefined ? "" : `; ${COUNTS[0]} nodes ${before.toFixed(0)} ms`),
        ...(before === undefined ? {} : { ratio: ms / before }),
        ...(limit === undefined ? {} : { goal: `≤ ${limit} ms` }),
      };
      smaller.set(what, ms);
    }
    yield* network.parts(count, signal);
  }
};

interface Run {
  /** From start to exit, in milliseconds. */
  wall: number;
  /** CPU time of the command, without the nodes, in milliseconds. */
  cpu: number;
}

/** Daemons, one of which only asks, and light peers. */
class BenchNetwork implements AsyncDisposable {
  readonly #resources: AsyncDisposableStack;
  readonly #binary: string | undefined;
  readonly #bootstrap: string;
  readonly #asking: NodeProcess;
  readonly #dir: string;

  private constructor(
    resources: AsyncDisposableStack,
    { binary, bootstrap, asking, dir }: {
      binary: string | undefined;
      bootstrap: string;
      asking: NodeProcess;
      dir: string;
    },
  ) {
    this.#resources = resources;
    this.#binary = binary;
    this.#bootstrap = bootstrap;
    this.#asking = asking;
    this.#dir = dir;
  }

  static async start(count: number, binary: string | undefined): Promise<BenchNetwork> {
    await using resources = new AsyncDisposableStack();
    const makeDir = async (): Promise<string> => {
      const path = await Deno.makeTempDir({ prefix: "pl" });
      resources.defer(() => Deno.remove(path, { recursive: true }));
      return path;
    };
    const start = async (set: Record<string, string>): Promise<NodeProcess> => {
      const options = { dir: await makeDir(), binary, set: { ...SETTINGS, ...set } };
      return resources.use(await startNodeProcess(options));
    };
    const first = await start({});
    const bootstrap = first.addresses[0]!;
    for (let node = 1; node < DAEMONS; node++) await start({ "network.bootstrap": bootstrap });
    const asking = await start({ "network.bootstrap": bootstrap, "network.provide": "false" });
    if (count > DAEMONS) resources.use(await startLightPeers(count - DAEMONS, bootstrap));
    const dir = await makeDir();
    return new BenchNetwork(resources.move(), { binary, bootstrap, asking, dir });
  }

  /** Times of each command in each round; the first round searches, and is not counted. */
  async measure(signal: AbortSignal): Promise<Map<string, Run[]>> {
    const socket = ["--socket", this.#asking.socket];
    const commands: Record<string, string[]> = {
      [COLD]: ["exec", "--remote", "--bootstrap", this.#bootstrap, HELLO],
      [SUBMIT]: ["submit", "--remote", "--wait", ...socket, HELLO],
      "submit --remote --as-node --wait": [
        ...["submit", "--remote", "--as-node", "--wait"],
        ...[...socket, HELLO],
      ],
      "submit --wait": ["submit", "--wait", ...socket, HELLO],
      "version": ["version"],
    };
    const times = new Map<string, Run[]>(Object.keys(commands).map((what) => [what, []]));
    for (let round = -1; round < ROUNDS; round++) {
      for (const [what, args] of Object.entries(commands)) {
        signal.throwIfAborted();
        const run = await this.#run(args);
        if (round >= 0) times.get(what)!.push(run);
      }
    }
    return times;
  }

  async #run(args: string[]): Promise<Run> {
    const { program, args: prefix } = plasmCommand(this.#binary);
    const begin = performance.now();
    const child = new Deno.Command("sh", {
      args: ["-c", `"$@" >&2 || exit; times`, "sh", program, ...prefix, ...args],
      env: {
        PLASM_STATE_DIR: `${this.#dir}/state`,
        XDG_CACHE_HOME: `${this.#dir}/cache`,
        XDG_CONFIG_HOME: this.#dir,
        DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(STDIN).catch(() => {}); // a command that reads no input
    await writer.close().catch(() => {});
    const { success, stdout, stderr } = await child.output();
    const wall = performance.now() - begin;
    if (!success) throw new Error(`Failed: ${args.join(" ")}\n${new TextDecoder().decode(stderr)}`);
    // The second line is user and system time of the shell's children.
    const [, children = ""] = new TextDecoder().decode(stdout).split("\n");
    const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
      .map(([, minutes, rest]) => Number(minutes) * 60 + Number(rest));
    return { wall, cpu: 1000 * seconds.reduce((sum, each) => sum + each, 0) };
  }

  /** Parts of a job in a process that has loaded all code: on a known node, and after a search. */
  async *parts(count: number, signal: AbortSignal): AsyncGenerator<BenchRow> {
    const module = await Deno.readFile(HELLO);
    const job: RemoteJob = {
      manifest: createManifest({ module_hash: await sha256(module) }),
      module: await bytesSource(module),
      stdin: await bytesSource(STDIN),
      inputs: [],
    };
    const phases = new Map<string, number[]>();
    for (let round = -1; round < ROUNDS; round++) {
      signal.throwIfAborted();
      const clock = new PhaseClock();
      await this.#runOnKnown(job, { clock, signal });
      await this.#runAfterSearch(job, { clock, signal });
      if (round < 0) continue;
      for (const [phase, ms] of clock.phases) phases.set(phase, [...phases.get(phase) ?? [], ms]);
    }
    for (const [phase, values] of phases) {
      yield { what: `  ${phase}, ${count} nodes`, measured: `${median(values).toFixed(1)} ms` };
    }
  }

  async #runOnKnown(
    job: RemoteJob,
    { clock, signal }: { clock: PhaseClock; signal: AbortSignal },
  ): Promise<void> {
    const identity = await ephemeralIdentity();
    clock.start();
    await using dialer = await PeerDialer.start({ identity });
    clock.end("known node: host start");
    const { peerId } = await dialer.query(this.#bootstrap, { signal });
    clock.end("known node: dial, document");
    const { output } = await runOnPeers(job, {
      dial: jobDialer(dialer),
      candidates: [{ peerId }],
      attempts: 1,
      signal,
      onEvent: ({ type }) => type === "started" && clock.end("known node: offer"),
    });
    clock.end("known node: job");
    output[Symbol.dispose]();
  }

  async #runAfterSearch(
    { manifest: { resources }, module }: RemoteJob,
    { clock, signal }: { clock: PhaseClock; signal: AbortSignal },
  ): Promise<void> {
    const identity = await ephemeralIdentity();
    clock.start();
    const network = await createNetwork({
      identity,
      mode: "client",
      bootstrap: [this.#bootstrap],
    });
    clock.end("search: host start");
    try {
      for await (const _node of findCandidates(network, { resources, module, signal })) break;
      clock.end("search: join, find, dial");
    } finally {
      await network.stop();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** Splits a time into phases. */
class PhaseClock {
  readonly phases: [string, number][] = [];
  #since = 0;

  start(): void {
    this.#since = performance.now();
  }

  end(phase: string): void {
    const now = performance.now();
    this.phases.push([phase, now - this.#since]);
    this.#since = now;
  }
}
