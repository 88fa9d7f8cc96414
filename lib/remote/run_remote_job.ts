/**
 * Remote execution as a library offers it: one call, which loads the network only when it is made.
 * @module
 */
import type { Hash, Identity, Manifest, Receipt } from "../core/mod.ts";
import type { RemoteJob } from "./client/mod.ts";

/** What a node must offer to be asked. */
export interface RemoteCriteria {
  /** Such as `x86_64` or `aarch64`. @default {any} */
  arch?: string | undefined;
  /** What one job may ask for at least, in MiB. @default {what the manifest asks for} */
  minMemoryMb?: number | undefined;
}

/** Options of {@linkcode runRemoteJob}. */
export interface RunRemoteJobOptions {
  /** Multiaddrs of the nodes to join through. @default {[]} */
  bootstrap?: readonly string[] | undefined;
  /** Runs the job on this node: a peer id, or a multiaddr that ends with one. @default {any node found} */
  peer?: string | undefined;
  /** What a node must offer. @default {{}} */
  criteria?: RemoteCriteria | undefined;
  /** What the job is and may use. @default {createManifest() with the module's hash and the inputs'} */
  manifest?: Manifest | undefined;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Files by guest path. @default {none} */
  inputs?: Readonly<Record<string, Uint8Array>> | undefined;
  /** Identity of the client. @default {a fresh key for each call} */
  identity?: Identity | undefined;
  /** Cancels the job, on the node too. @default {never} */
  signal?: AbortSignal | undefined;
  /** Nodes tried at most. @default {3} */
  attempts?: number | undefined;
  /** Receives progress. Must not throw. @default {none} */
  onProgress?: ((progress: RemoteJobProgress) => void) | undefined;
}

/** How a remote job goes on; `phase` says what else there is. */
export interface RemoteJobProgress {
  /** The node that is talked with. */
  peerId: string;
  /** Where the job stands. */
  phase:
    | "connecting"
    | "offering"
    | "accepted"
    | "sending"
    | "queued"
    | "running"
    | "reconnecting"
    | "verifying"
    | "failed";
}

/** What one attempt came to. */
export interface RemoteJobAttempt {
  /** The node that was tried. */
  peerId: string;
  /** Whether the job ran there, as far as is known. */
  ran: "no" | "maybe" | "yes";
  /** Code of what went wrong; absent on success. */
  errorCode?: string | undefined;
}

/** A result that was verified. */
export interface RemoteJobResult {
  /** The node that ran it. */
  peerId: string;
  /** All of standard output. */
  stdout: Uint8Array;
  /** All of standard error. */
  stderr: Uint8Array;
  /** Verified against all that was sent and received. */
  receipt: Receipt;
  /** All attempts; the last succeeded. */
  attempts: RemoteJobAttempt[];
}

/** Output that is held, in bytes, where the manifest does not say less. */
const MAX_OUTPUT_BYTES = 256 * 2 ** 20;

/**
 * Runs a module on another node and verifies the receipt before it gives the result.
 *
 * @throws {PlasmError} `no-peer` if no node can be asked; `bad-receipt` if a node returned a false result; what the node refuses
 * with; `interrupted` when the signal aborts. `details.attempts` has all attempts
 *
 * @example
 * ```ts
 * import { runRemoteJob } from "@plasm/plasm";
 * import { assertRejects } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * // With a bootstrap node of a real network: { bootstrap: ["/ip4/…/p2p/12D3KooW…"], stdin }
 * await assertRejects(() => runRemoteJob(module, { stdin }), Error, "no bootstrap node");
 * ```
 */
export async function runRemoteJob(
  module: Uint8Array,
  options: RunRemoteJobOptions = {},
): Promise<RemoteJobResult> {
  const { PlasmError } = await import("../core/errors/mod.ts");
  const { bootstrap = [], peer } = options;
  if (bootstrap.length === 0 && !peer?.startsWith("/")) {
    throw new PlasmError("usage", "Cannot find nodes: no bootstrap node is given", {
      hint: "Give bootstrap, or a peer with its address",
    });
  }
  const job = await makeJob(module, options);
  const { createNetwork } = await import("../p2p/mod.ts");
  const { ephemeralIdentity } = await import("../core/mod.ts");
  const { runOnPeers } = await import("./client/mod.ts");
  const { findCandidates, jobDialer } = await import("./libp2p/mod.ts");
  const network = await createNetwork({
    identity: options.identity ?? await ephemeralIdentity(),
    bootstrap,
    mode: "client",
  });
  try {
    const { signal, attempts, onProgress } = options;
    const { resources } = job.manifest;
    const result = await runOnPeers(job, {
      dial: jobDialer(network),
      candidates: findCandidates(network, {
        peer,
        resources,
        signal,
        attempts,
        ...options.criteria,
      }),
      isSole: peer !== undefined,
      signal,
      attempts,
      maxOutputBytes: Math.min(resources.output_bytes ?? MAX_OUTPUT_BYTES, MAX_OUTPUT_BYTES),
      onProgress,
      noteOutcome: (peerId, outcome) => network.noteOutcome(peerId, outcome),
    });
    using output = result.output;
    return {
      peerId: result.peerId,
      receipt: result.receipt,
      stdout: await bytesOf(output.read("stdout")),
      stderr: await bytesOf(output.read("stderr")),
      attempts: result.attempts.map(({ peerId, ran, error }) => ({
        peerId,
        ran,
        ...(error === undefined ? {} : { errorCode: error.code }),
      })),
    };
  } finally {
    await network.stop();
  }
}

async function makeJob(module: Uint8Array, options: RunRemoteJobOptions): Promise<RemoteJob> {
  const { createManifest } = await import("../core/mod.ts");
  const { bytesSource } = await import("./client/mod.ts");
  const { hashInputs } = await import("../sandbox/mod.ts");
  const { inputs = {}, stdin = new Uint8Array() } = options;
  const source = await bytesSource(module);
  const sources = new Map<Hash, Awaited<ReturnType<typeof bytesSource>>>();
  for (const data of Object.values(inputs)) {
    if (data.length === 0) continue;
    const input = await bytesSource(data);
    sources.set(input.hash, input);
  }
  const manifest = options.manifest ?? createManifest({
    module_hash: source.hash,
    ...(options.inputs === undefined ? {} : { inputs: await hashInputs(inputs) }),
  });
  return {
    manifest,
    module: source,
    stdin: await bytesSource(stdin),
    inputs: [...sources.values()],
  };
}

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts = await Array.fromAsync(chunks);
  return await new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
}
