/**
 * Public API of remote execution: one call, which loads the network on demand.
 *
 * @module
 */
import type { Hash, Identity, JobDescription, JobEvent, Manifest, Receipt } from "../core/mod.ts";
import type { RemoteJob, RemoteOutput } from "./client/mod.ts";

/** Options of {@linkcode runRemoteJob}. */
export interface RunRemoteJobOptions extends JobDescription {
  /** Multiaddrs of the nodes to join through. @default {[]} */
  bootstrap?: readonly string[] | undefined;
  /** Runs the job on this node: a peer id, or a multiaddr that ends with one. @default {any node found} */
  peer?: string | undefined;
  /** Requirements on the node. @default {{}} */
  criteria?: {
    /** CPU architecture, such as `x86_64` or `aarch64`. @default {any} */
    arch?: string | undefined;
    /** Minimum memory limit of the node, in MiB. @default {what the manifest asks for} */
    minMemoryMb?: number | undefined;
  } | undefined;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Identity of the client. @default {a new key for each call} */
  identity?: Identity | undefined;
  /** Stops the job, on the node too; the call then throws `interrupted`. @default {never} */
  signal?: AbortSignal | undefined;
  /** Maximum number of attempts. @default {3} */
  attempts?: number | undefined;
  /**
   * Receives the job's events; output is not among them, as it is verified with the receipt first. Must not throw.
   * @default {none}
   */
  onEvent?: ((event: JobEvent) => void) | undefined;
}

/** Report of one attempt. */
export interface RemoteJobAttempt {
  /** Peer id of the node. */
  peerId: string;
  /** Whether the job ran there, as far as is known. */
  ran: "no" | "maybe" | "yes";
  /** Error code; absent on success. */
  errorCode?: string | undefined;
}

/** Verified result. */
export interface RemoteJobResult {
  /** Peer id of the node that ran the job. */
  peerId: string;
  /** Standard output. */
  stdout: Uint8Array;
  /** Standard error. */
  stderr: Uint8Array;
  /** Output files by guest path; an empty directory has a path that ends in a slash, and no content. */
  outputs: Map<string, Uint8Array>;
  /** The job's complete manifest. */
  manifest: Manifest;
  /** Verified against everything that was sent and received. */
  receipt: Receipt;
  /** All attempts; the last one succeeded. */
  attempts: RemoteJobAttempt[];
}

/** Limit of the output in bytes, unless the manifest has a lower one. */
const MAX_OUTPUT_BYTES = 256 * 2 ** 20;

/** Limits of output that is returned in memory, in bytes. */
export function memoryOutputLimits(
  { resources }: Manifest,
): { maxOutputBytes: number; maxFilesBytes: number } {
  const { output_bytes = MAX_OUTPUT_BYTES, output_files_bytes = MAX_OUTPUT_BYTES } = resources;
  return {
    maxOutputBytes: Math.min(output_bytes, MAX_OUTPUT_BYTES),
    maxFilesBytes: Math.min(output_files_bytes, MAX_OUTPUT_BYTES),
  };
}

/** Reads verified output into memory and deletes it. */
export async function readRemoteOutput(
  output: RemoteOutput,
  { outputs = [] }: Manifest,
): Promise<Pick<RemoteJobResult, "stdout" | "stderr" | "outputs">> {
  const { FilesInMemory } = await import("../core/mod.ts");
  const files = new FilesInMemory(outputs);
  try {
    for await (const data of output.read("files")) await files.add(data);
    return {
      stdout: await bytesOf(output.read("stdout")),
      stderr: await bytesOf(output.read("stderr")),
      outputs: files.content,
    };
  } finally {
    output[Symbol.dispose]();
  }
}

/**
 * Runs a module on another node, verifies the receipt and returns the result.
 *
 * @throws {PlasmError} `bad-module` if no node can run the module; `no-peer` if no node is found; `bad-receipt` if a
 * node returned a false result; the node's
 * rejection; `interrupted` if the signal aborts. `details.attempts` lists all attempts
 *
 * @example
 * ```ts
 * import { runRemoteJob } from "@plasm/plasm";
 * import { assertRejects } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * // On a network, `bootstrap` has the multiaddr of any node; examples/library/run_remote_job.ts is a whole program.
 * await assertRejects(() => runRemoteJob(module, { stdin }), Error, "no bootstrap node");
 * ```
 */
export async function runRemoteJob(
  module: Uint8Array,
  options: RunRemoteJobOptions = {},
): Promise<RemoteJobResult> {
  const { abortError, errorOf, PlasmError } = await import("../core/errors/mod.ts");
  const { bootstrap = [], peer, signal } = options;
  if (signal?.aborted) throw abortError(signal);
  if (bootstrap.length === 0 && !peer?.startsWith("/")) {
    throw new PlasmError("usage", "Cannot find nodes: no bootstrap node", {
      hint: "Set bootstrap, or peer with its address",
    });
  }
  // Loaded before every other module that imports libp2p: see lib/p2p/patches/hidden_environment.ts.
  const { createNetwork } = await import("../p2p/mod.ts");
  const { parseArch } = await import("../core/mod.ts");
  const arch = options.criteria?.arch === undefined
    ? {}
    : { arch: parseArch(options.criteria.arch) };
  const job = await describeRemoteJob(module, options);
  const { ephemeralIdentity } = await import("../core/mod.ts");
  const { runOnPeers } = await import("./client/mod.ts");
  const { findCandidates, jobDialer } = await import("./libp2p/mod.ts");
  const network = await createNetwork({
    identity: options.identity ?? await ephemeralIdentity(),
    bootstrap,
    mode: "client",
  });
  try {
    if (signal?.aborted) throw abortError(signal);
    const { attempts, onEvent } = options;
    const { resources } = job.manifest;
    const result = await runOnPeers(job, {
      dial: jobDialer(network),
      candidates: findCandidates(network, {
        peer,
        resources,
        module: job.module,
        signal,
        attempts,
        ...options.criteria,
        ...arch,
      }),
      isSole: peer !== undefined,
      signal,
      attempts,
      ...memoryOutputLimits(job.manifest),
      onEvent,
      recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
    });
    return {
      peerId: result.peerId,
      manifest: job.manifest,
      receipt: result.receipt,
      ...await readRemoteOutput(result.output, job.manifest),
      attempts: result.attempts.map(({ peerId, ran, error }) => ({
        peerId,
        ran,
        ...(error === undefined ? {} : { errorCode: error.code }),
      })),
    };
  } catch (error) {
    throw errorOf(error, signal);
  } finally {
    await network.stop();
  }
}

/**
 * Creates a job of a module in memory.
 *
 * @throws {PlasmError} `bad-module` if no node can run the module; `bad-manifest`, `bad-input`
 */
export async function describeRemoteJob(
  module: Uint8Array,
  options: Pick<RunRemoteJobOptions, "stdin" | keyof JobDescription>,
): Promise<RemoteJob> {
  const { manifestOf } = await import("../core/mod.ts");
  const { bytesSource } = await import("./client/mod.ts");
  const { checkModule, hashInputs } = await import("../sandbox/mod.ts");
  const { inputs = {}, stdin = new Uint8Array() } = options;
  const source = await bytesSource(module);
  const sources = new Map<Hash, Awaited<ReturnType<typeof bytesSource>>>();
  for (const data of Object.values(inputs)) {
    if (data.length === 0) continue;
    const input = await bytesSource(data);
    sources.set(input.hash, input);
  }
  const manifest = manifestOf(options, {
    module: source.hash,
    inputs: await hashInputs(inputs),
  });
  await checkModule(module, manifest);
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
