/**
 * Runs a small network of real processes on this machine, and a job submitted by a peer that knows only the bootstrap
 * node. All processes and files are removed at the end, also after Ctrl-C.
 * @module
 */
import {
  createManifest,
  ephemeralIdentity,
  type JobEvent,
  PlasmError,
  sha256,
  verifyReceipt,
} from "../mod.ts";
import type { Candidate } from "../lib/p2p/discovery/candidate.ts";
import { createNetwork, type PlasmNetwork } from "../lib/p2p/network.ts";
import { bytesSource, type RemoteCandidate } from "../lib/remote/client/remote_job.ts";
import { remoteCandidate } from "../lib/remote/libp2p/network_binding.ts";
import { jobDialer } from "../lib/remote/libp2p/stream_pool.ts";
import { runOnPeers } from "../lib/remote/client/run_on_peers.ts";
import { startNode } from "./demo/nodes.ts";

const MODULE = new URL("../examples/hello/hello.wasm", import.meta.url);
const INPUT = "Hello, World";

const begin = performance.now();
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());
try {
  await demo(stop.signal);
  Deno.exit(0);
} catch (error) {
  // Ctrl-C also reaches the nodes: failures after it are expected.
  const { message, exitCode } = PlasmError.from(stop.signal.aborted ? stop.signal.reason : error);
  console.error(`demo      ${message}`);
  Deno.exit(exitCode);
}

async function demo(signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dir = await Deno.makeTempDir({ dir: "/tmp", prefix: "plasm-demo-" });
  stack.defer(() => Deno.remove(dir, { recursive: true }));
  const boot = stack.use(
    await startNode({
      dir: `${dir}/bootstrap`,
      set: {
        "network.provide": "false",
        "network.policy.submit": "nobody",
        "jobs.warm_executors": "0",
      },
    }),
  );
  signal.throwIfAborted();
  const bootstrap = boot.addresses.join(",");
  const workers = await Promise.allSettled(
    ["worker-1", "worker-2"].map((name) =>
      startNode({ dir: `${dir}/${name}`, set: { "network.bootstrap": bootstrap } })
    ),
  );
  for (const worker of workers) {
    if (worker.status === "fulfilled") stack.use(worker.value);
  }
  const failed = workers.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
  signal.throwIfAborted();
  line("network", "3 processes on loopback: 1 bootstrap node, 2 workers");

  const identity = await ephemeralIdentity();
  const network = await createNetwork({ identity, bootstrap: boot.addresses, mode: "client" });
  stack.defer(() => network.stop());
  line("client", `${identity.peerId}, knows only the bootstrap node's address`);
  await runJob(network, signal);
  line("done", `in ${((performance.now() - begin) / 1000).toFixed(1)} s`);
}

async function runJob(network: PlasmNetwork, signal: AbortSignal): Promise<void> {
  const module = await Deno.readFile(MODULE);
  const stdin = new TextEncoder().encode(INPUT);
  const manifest = createManifest({ module_hash: await sha256(module) });
  const { receipt, output, attempts } = await runOnPeers({
    manifest,
    module: await bytesSource(module),
    stdin: await bytesSource(stdin),
    inputs: [],
  }, {
    dial: jobDialer(network),
    candidates: find(network, signal),
    signal,
    onEvent: printEvent,
  });
  const stdout = await new Response(ReadableStream.from(output.read("stdout"))).bytes();
  output[Symbol.dispose]();
  const { usage } = receipt.run;
  const { startedMs, endedMs } = attempts.at(-1)!;
  line("finished", `${receipt.claim.status} with code ${receipt.claim.exit_code}`);
  line(
    "used",
    `${usage.wall_time_ms} ms wall, ${usage.cpu_time_ms} ms CPU, ` +
      `${endedMs - startedMs} ms from dial to verified result`,
  );
  line("output", new TextDecoder().decode(stdout));

  const expected = { key: receipt.run.node.public_key, manifest, module, stdin, stdout };
  await verifyReceipt(receipt, expected);
  line(
    "receipt",
    `verified: ${receipt.run.job_id}, signed by ${receipt.run.node.public_key.slice(0, 16)}…`,
  );
  try {
    await verifyReceipt({ ...receipt, claim: { ...receipt.claim, exit_code: 1 } }, expected);
    throw new Error("Tampered receipt was accepted");
  } catch (error) {
    if (!(error instanceof PlasmError)) throw error;
    line("forged", `refused: ${error.message}`);
  }
}

async function* find(network: PlasmNetwork, signal: AbortSignal): AsyncGenerator<RemoteCandidate> {
  const start = performance.now();
  for await (const candidate of network.discover({ wasi: "preview1" }, { signal })) {
    line("found", describe(candidate, performance.now() - start));
    yield remoteCandidate(candidate);
  }
}

function describe({ peerId, capability, transport, path }: Candidate, tookMs: number): string {
  const { runtime, cpu_cores, limits } = capability;
  return `${peerId} in the DHT after ${
    Math.round(tookMs)
  } ms: ${runtime.arch}, ${cpu_cores} cores, ` +
    `${limits.memory_mb} MB per job, over ${transport}, ${path}`;
}

function printEvent(event: JobEvent): void {
  if (event.type === "queued" && event.position === undefined) line("accepted", event.jobId);
  if (event.type === "offering") {
    line("offered", `examples/hello/hello.wasm with stdin ${JSON.stringify(INPUT)}`);
  }
  if (event.type === "sending" && event.sent === event.total) line("sent", `${event.sent} bytes`);
  if (event.type === "started") line("started", new Date(event.at).toISOString());
  if (event.type === "attempt-failed") line("failed", event.error.message);
}

function line(name: string, text: string): void {
  console.log(`${name.padEnd(9)} ${text}`);
}
