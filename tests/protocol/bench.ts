/**
 * Nodes and a client in one process, with lines that a test may cut.
 * @module
 */
import { PlasmError } from "../../lib/errors.ts";
import { sha256 } from "../../lib/job/hash.ts";
import { createManifest, type ManifestOptions } from "../../lib/job/manifest.ts";
import { bytesSource } from "../../lib/protocol/blob_source.ts";
import type { Duplex } from "../../lib/protocol/duplex.ts";
import type { RemotePolicy } from "../../lib/protocol/host.ts";
import { runRemote } from "../../lib/protocol/request.ts";
import type {
  RemoteJob,
  RemoteProgress,
  RemoteResult,
  RunRemoteOptions,
} from "../../lib/protocol/request_types.ts";
import { JobServer, type ServeEvent } from "../../lib/protocol/serve.ts";
import { memoryPair, type MemoryPairOptions } from "../../lib/protocol/testing.ts";
import { FakeHost } from "./fake_host.ts";

/** A policy that a test of something else does not meet. */
export const POLICY: RemotePolicy = {
  submit: "anyone",
  submitters: [],
  jobsPerPeer: 4,
  bytesPerPeer: 64 * 2 ** 20,
  halfOpenOffers: 8,
  transferMs: 30_000,
  orphanMs: 30_000,
  resultMs: 30_000,
};

/** The client's peer id, where it matters. */
export const CLIENT = "12D3KooWClient";

/** One node. */
export class TestNode implements AsyncDisposable {
  readonly host: FakeHost;
  readonly server: JobServer;
  policy: RemotePolicy = { ...POLICY };
  readonly log: ServeEvent[] = [];
  /** For each connection, what to do to its line; the last holds for all after it. */
  lines: MemoryPairOptions[] = [{}];
  /** Connections made so far. */
  dialled = 0;
  /** Replaces what the client reads and writes. */
  wrap: (duplex: Duplex) => Duplex = (duplex) => duplex;
  /** How long it has been up, beside the time since it was made; in milliseconds. */
  upMs = 3_600_000;
  /** Breaks the line that was made last. */
  cut: () => void = () => {};
  readonly #serving = new Set<Promise<void>>();

  private constructor(host: FakeHost) {
    this.host = host;
    let upMs = (): number => 0;
    this.server = new JobServer({
      host,
      policy: () => this.policy,
      log: (event) => this.log.push(event),
      steadyNow: () => performance.now() + upMs(),
    });
    upMs = () => this.upMs;
  }

  static async create(): Promise<TestNode> {
    return new TestNode(await FakeHost.create());
  }

  get peerId(): string {
    return this.host.identity.peerId;
  }

  /** Connects to it. */
  dial(peerId: string = CLIENT): Duplex {
    const line = this.lines[Math.min(this.dialled++, this.lines.length - 1)];
    const pair = memoryPair(line);
    this.cut = pair.cut;
    const task: Promise<void> = this.server.serve(pair.node, peerId)
      .finally(() => this.#serving.delete(task));
    this.#serving.add(task);
    return this.wrap(pair.client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await Promise.all(this.#serving);
  }
}

/** Options of {@linkcode run}, besides those of `runRemote`. */
export interface RunOptions extends Partial<RunRemoteOptions> {
  nodes: TestNode[];
  job?: RemoteJob;
}

/** A job of some bytes that stand for a module. */
export async function makeJob(
  options: Partial<ManifestOptions> & { module?: Uint8Array; stdin?: string | Uint8Array } = {},
): Promise<RemoteJob> {
  const {
    module = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0]),
    stdin = "Hello, World",
    ...rest
  } = options;
  return {
    manifest: createManifest({ module_hash: await sha256(module), ...rest }),
    module: await bytesSource(module),
    stdin: await bytesSource(typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin),
    inputs: [],
  };
}

/** A node that has the module of `makeJob()`. */
export async function nodeWithModule(): Promise<TestNode> {
  const node = await TestNode.create();
  const { module } = await makeJob();
  node.host.blobs.set(module.hash, await module.read(0, module.size));
  return node;
}

/** Runs a job on some nodes. */
export async function run(
  { nodes, job, ...options }: RunOptions,
): Promise<RemoteResult & { text: string; progress: RemoteProgress[] }> {
  const progress: RemoteProgress[] = [];
  const result = await runRemote(job ?? await makeJob(), {
    dial: (peerId) => {
      const node = nodes.find((node) => node.peerId === peerId);
      if (node === undefined) throw new PlasmError("no-peer", `Cannot reach peer ${peerId}`);
      return Promise.resolve(node.dial());
    },
    candidates: nodes.map(({ peerId }) => ({ peerId })),
    backoffMs: 0,
    onProgress: (event) => progress.push(event),
    ...options,
  });
  const parts = await Array.fromAsync(result.output.read("stdout"));
  result.output[Symbol.dispose]();
  const text = await new Blob(parts as Uint8Array<ArrayBuffer>[]).text();
  return { ...result, text, progress };
}

/** Random bytes that are the same in each run. */
export function seededBytes(length: number, seed = 1): Uint8Array {
  const random = seededRandom(seed);
  return new Uint8Array(length).map(() => Math.floor(random() * 256));
}

/** Numbers from 0 to 1 that are the same in each run (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
