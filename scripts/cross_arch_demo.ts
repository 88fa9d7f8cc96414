/**
 * Two architectures, one network: a client of each finds a node of the other in the DHT, runs the
 * example job there and verifies the receipt. What this machine is not is emulated.
 *
 *     deno task compile && deno run --allow-read --allow-write --allow-run --allow-env scripts/cross_arch_demo.ts
 *
 * Needs qemu-user-static, libc6 and libgcc-s1 of the other architecture, and binfmt_misc.
 * @module
 */
import { binaryFile, LINUX_TARGETS, type Target } from "./compile/targets.ts";

const MODULE = decodeURIComponent(
  new URL("../examples/hello/hello.wasm", import.meta.url).pathname,
);
const INPUT = "Hello, World";

/** How often a client looks for a node. */
const MAX_SEARCHES = 5;

/** How the example job went. */
export interface CrossArchRun {
  /** The architecture that asked. */
  client: string;
  /** The architecture that ran the job, as its receipt says. */
  node: string;
  /** What the job wrote. */
  stdout: string;
  /** From the last search's start to the offer to the node that was found, in milliseconds. */
  discoveryMs: number;
  /** From the offer to the verified result, in milliseconds. */
  executionMs: number;
  /** Of that, the job itself, in milliseconds. */
  jobMs: number;
  /** The identity of the node, from its receipt. */
  peerId: string;
  /** What `plasm verify` printed. */
  verified: string;
}

/** Runs the job from a client of one target on a node of another. */
export async function crossArchRun(client: Target, node: Target): Promise<CrossArchRun> {
  const dir = await Deno.makeTempDir({ prefix: "plasm-cross-arch-" });
  const daemon = new Deno.Command(binaryFile(node), {
    args: [
      ...["daemon", "--state-dir", `${dir}/node`, "--socket", `${dir}/node.sock`],
      ...["--log-format", "json", "--set", "network.enabled=true"],
      ...["--set", "network.listen=/ip4/127.0.0.1/tcp/0"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  try {
    const lines = readLines(daemon.stderr);
    const address = await nodeAddress(lines);
    // What it logs from here on is not looked at, but must be taken from the pipe.
    const draining = drain(lines);
    const arch = node.triple.split("-")[0]!;
    const result = JSON.parse(
      await untilFound(() =>
        plasm(client, `${dir}/client`, [
          ...["exec", "--remote", "--arch", arch, "--bootstrap", address],
          ...["--json", "--receipt", `${dir}/receipt.json`, MODULE],
        ], INPUT)
      ),
    );
    await Deno.writeTextFile(`${dir}/out`, result.stdout);
    await Deno.writeTextFile(`${dir}/in`, INPUT);
    const verified = await plasm(client, `${dir}/client`, [
      ...["verify", `${dir}/receipt.json`, "--module", MODULE, "--peer", result.node],
      ...["--stdin", `${dir}/in`, "--stdout", `${dir}/out`],
    ]);
    const attempt = result.attempts.at(-1);
    daemon.kill("SIGTERM");
    await draining;
    return {
      client: client.triple.split("-")[0]!,
      node: result.receipt.runtime.arch,
      stdout: result.stdout,
      discoveryMs: attempt.startedMs,
      executionMs: attempt.endedMs - attempt.startedMs,
      jobMs: result.usage.wall_time_ms,
      peerId: result.node,
      verified,
    };
  } finally {
    try {
      daemon.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await daemon.status;
    await Deno.remove(dir, { recursive: true });
  }
}

/**
 * An emulated node answers its first question more slowly than a client waits; the error that says so
 * is marked retryable.
 */
async function untilFound(search: () => Promise<string>): Promise<string> {
  for (let left = MAX_SEARCHES - 1;; left--) {
    try {
      return await search();
    } catch (error) {
      if (left === 0 || !(error instanceof Error && error.message.includes('"no-peer"'))) {
        throw error;
      }
    }
  }
}

async function plasm(
  target: Target,
  stateDir: string,
  args: readonly string[],
  stdin = "",
): Promise<string> {
  const child = new Deno.Command(binaryFile(target), {
    args: [...args],
    env: { PLASM_STATE_DIR: stateDir },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writing = new Blob([stdin]).stream().pipeTo(child.stdin).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  await writing;
  if (!success) throw new Error(`plasm ${args[0]}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

async function* readLines(bytes: Deno.ChildProcess["stdout"]): AsyncGenerator<string, void> {
  let rest = "";
  for await (
    const chunk of bytes.pipeThrough(
      new TextDecoderStream(),
    )
  ) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
}

/** The address that a node logs, once it also takes jobs. */
async function nodeAddress(lines: AsyncGenerator<string, void>): Promise<string> {
  const seen: string[] = [];
  let found: string | undefined;
  while (true) {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`The node has ended: ${seen.join("\n")}`);
    seen.push(value);
    const { event, address } = JSON.parse(value);
    if (event === "network_started") found = address.split(" ")[0];
    if (event === "daemon-started" && found !== undefined) return found;
  }
}

async function drain(lines: AsyncGenerator<string, void>): Promise<void> {
  for await (const _ of lines);
}

if (import.meta.main) {
  for (const [client, node] of [LINUX_TARGETS, LINUX_TARGETS.toReversed()]) {
    const run = await crossArchRun(client!, node!);
    console.log(`${run.client} client, ${run.node} node ${run.peerId}`);
    console.log(`  output     ${run.stdout}`);
    console.log(`  discovery  ${Math.round(run.discoveryMs)} ms`);
    console.log(`  execution  ${Math.round(run.executionMs)} ms, of which the job ${run.jobMs} ms`);
    console.log(run.verified.trimEnd().replace(/^/gm, "  "));
  }
}
