/**
 * Runs jobs between two architectures: a client of each finds a node of the other in the DHT, runs the example job
 * there and verifies the receipt. Foreign binaries run under emulation.
 *
 *     deno task compile && deno run --allow-read --allow-write --allow-run --allow-env scripts/cross_arch_demo.ts
 *
 * Needs qemu-user-static, binfmt_misc, and libc6 and libgcc-s1 of the foreign architecture.
 * @module
 */
import { binaryFile, LINUX_TARGETS, type Target } from "./compile/targets.ts";

const MODULE = decodeURIComponent(
  new URL("../examples/hello/hello.wasm", import.meta.url).pathname,
);
const INPUT = "Hello, World";

/** Maximum number of searches for a node. */
const MAX_SEARCHES = 5;

/** Result of the example job. */
export interface CrossArchRun {
  /** Architecture of the client. */
  client: string;
  /** Architecture of the executing node, from its receipt. */
  node: string;
  /** The job's output. */
  stdout: string;
  /** Duration from the start of the last search to the offer, in milliseconds. */
  discoveryMs: number;
  /** Duration from the offer to the verified result, in milliseconds. */
  executionMs: number;
  /** Part of {@linkcode executionMs} spent in the job itself, in milliseconds. */
  jobMs: number;
  /** The node's peer id, from its receipt. */
  peerId: string;
  /** Output of `plasm verify`. */
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
    // Drain the pipe: an unread log would block the node.
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
      node: result.receipt.run.runtime.arch,
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
 * An emulated node may respond to the first request after the client's timeout; that error is marked retryable.
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

/** Reads the node's address from its log, once it accepts jobs. */
async function nodeAddress(lines: AsyncGenerator<string, void>): Promise<string> {
  const seen: string[] = [];
  let found: string | undefined;
  while (true) {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`Node exited: ${seen.join("\n")}`);
    seen.push(value);
    const { event, address } = JSON.parse(value);
    if (event === "network-started") found = address.split(" ")[0];
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
    console.log(
      `  execution  ${Math.round(run.executionMs)} ms, including the job's ${run.jobMs} ms`,
    );
    console.log(run.verified.trimEnd().replace(/^/gm, "  "));
  }
}
