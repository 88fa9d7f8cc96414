/**
 * Real daemons on loopback, and modules to run on them.
 * @module
 */
import type { ConfigEntries } from "../../lib/config/mod.ts";
import { type Daemon, startDaemon } from "../../lib/daemon/daemon.ts";
import { joinNetwork } from "../../lib/daemon/join_network.ts";
import type { JobStore } from "../../lib/daemon/store/store.ts";
import type { PlasmNetwork } from "../../lib/network/network.ts";
import { remoteCandidate } from "../../lib/protocol/network.ts";
import type { RemoteCandidate } from "../../lib/protocol/request_types.ts";
import { testConfig } from "../daemon/harness.ts";
import { TestNet } from "../network/helpers.ts";

/** The example: writes its input backwards. */
export const HELLO: Uint8Array = await Deno.readFile(
  new URL("../../examples/hello/hello.wasm", import.meta.url),
);

/** The longest wait for what never comes, in milliseconds. */
const PATIENCE_MS = 30_000;

/** A module with a custom section of zeros, which makes it as large as wanted. */
export function padded(module: Uint8Array, bytes: number): Uint8Array {
  const size: number[] = [];
  // The section's content is a name of no characters, and the zeros.
  for (let rest = bytes + 1; size.length === 0 || rest > 0; rest >>>= 7) {
    size.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  }
  const whole = new Uint8Array(module.length + 1 + size.length + 1 + bytes);
  whole.set(module);
  whole.set(size, module.length + 1);
  return whole;
}

/** A network with one daemon in it. */
export interface RealNode {
  net: TestNet;
  daemon: Daemon;
  /** The daemon's own. */
  store: JobStore;
  /** Addresses to join through. */
  bootstrap: string[];
  dir: string;
  /** Waits until nothing is kept of a job. */
  forgotten(jobId: string): Promise<void>;
}

/** Runs a test with a real daemon in a network. */
export async function withRealNode(
  test: (node: RealNode) => Promise<void>,
  entries: ConfigEntries = {},
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    await using net = new TestNet();
    const boot = await net.start();
    const bootstrap = boot.addresses();
    const config = testConfig(dir, {
      "network.enabled": true,
      "network.listen": ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic"],
      "network.bootstrap": bootstrap,
      "jobs.warm_executors": 1,
      ...entries,
    });
    let store!: JobStore;
    await using daemon = await startDaemon(config, {
      network: (context) => {
        store = context.store;
        return joinNetwork(context);
      },
    });
    const forgotten = async (jobId: string): Promise<void> => {
      const signal = AbortSignal.timeout(PATIENCE_MS);
      while (store.get(jobId) !== undefined) {
        signal.throwIfAborted();
        await store.changes.wait(jobId, { signal, timeoutMs: PATIENCE_MS });
      }
    };
    await test({ net, daemon, store, bootstrap, dir, forgotten });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Nodes as a client finds them. */
export async function* candidatesOf(network: PlasmNetwork): AsyncGenerator<RemoteCandidate> {
  for await (const candidate of network.discover({})) yield remoteCandidate(candidate);
}

/** All of a stream as text. */
export async function textOf(output: AsyncIterable<Uint8Array>): Promise<string> {
  const parts = await Array.fromAsync(output);
  return await new Blob(parts as Uint8Array<ArrayBuffer>[]).text();
}
