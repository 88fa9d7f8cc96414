/**
 * Entry point `./map`: runs one module over many items.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import type { DaemonAddress } from "../client/mod.ts";
import {
  DEFAULT_RESOURCES,
  ephemeralIdentity,
  FilesInMemory,
  type Identity,
  type JobDescription,
  type JobOutcome,
  manifestOf,
  missingOutputs,
  parseArch,
  type Receipt,
  sha256,
  type Signer,
} from "../core/mod.ts";
import type { Evidence } from "../quorum/mod.ts";
import { type Ceilings, checkModule, hashInputs } from "../sandbox/mod.ts";
import { concat } from "../util/mod.ts";
import { DEFAULT_HALT, parseHalt } from "./halt.ts";
import { LocalPlacement, type LocalPlacementOptions } from "./local_placement.ts";
import type { MapOutput, PlacedJob, Placement } from "./placement.ts";
import { type ItemResult, MapScheduler } from "./scheduler.ts";

/** A daemon that runs the jobs of a map. */
export interface MapDaemon {
  /** Where it is; `{}` finds the daemon of this machine. */
  daemon: DaemonAddress;
}

/** Nodes of the network that run the jobs of a map. */
export interface MapNetwork {
  /** Multiaddrs, including `/p2p/`, of nodes to join through. */
  bootstrap: readonly string[];
  /** Peer ids or multiaddrs of the nodes. @default {those that are found} */
  peers?: readonly string[] | undefined;
  /** CPU architecture of the nodes, such as `x86_64`. @default {any} */
  arch?: string | undefined;
  /**
   * Number of nodes that must return the same claim for each item, at least 2. Without the deterministic profile honest
   * nodes may return different ones.
   * @default {one node runs it}
   */
  agree?: number | undefined;
  /** Number of nodes that start an item together, with `agree`. @default {agree} */
  nodes?: number | undefined;
  /** Whether they may be in one network, an IPv4 /24 or an IPv6 /48. @default {false} */
  sameNetwork?: boolean | undefined;
  /** The client's key. @default {a new one, so that nodes cannot link maps} */
  identity?: Identity | undefined;
}

/** Job of one item. */
export interface MapJob extends JobDescription {
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
}

/** Options of {@linkcode mapJobs}. */
export interface MapOptions<T> {
  /**
   * Describes the job of an item; it is called shortly before the job starts. Its environment is completed by
   * `PLASM_INDEX`, the item's position from 1.
   */
  describe: (item: T, index: number) => MapJob | Promise<MapJob>;
  /** Where the jobs run. @default {this machine} */
  where?: MapDaemon | MapNetwork | undefined;
  /** Jobs at the same time, on each node. @default {one for each core; as many as a node keeps up with} */
  jobs?: number | undefined;
  /** Whether results come in the order of the items. @default {false: as the jobs end} */
  keepOrder?: boolean | undefined;
  /** Most attempts of a job that fails. @default {1} */
  tries?: number | undefined;
  /**
   * When failures end the map: `never`, or `soon` or `now` with `fail=N`, `success=N`, `done=N`, `fail=N%` or
   * `success=N%`; `now` also stops the jobs that run.
   * @default {after 20 failures without a success}
   */
  halt?: string | undefined;
  /** Signs a receipt for each job on this machine; others sign their own. @default {no receipts} */
  signer?: Signer | undefined;
  /** Memory limit of the jobs, in MiB: none may ask for more. @default {256} */
  memoryMb?: number | undefined;
  /** Maximum resources of a job on this machine. @default {DEFAULT_CEILINGS} */
  ceilings?: Partial<Ceilings> | undefined;
  /** Stops all jobs; the iteration then throws `interrupted`. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Result of one item. */
export interface MapResult<T> {
  /** Position of the item, from 1. */
  index: number;
  /** The item. */
  item: T;
  /** How its job ended; undefined if it has no result. */
  outcome: JobOutcome | undefined;
  /** Why it has no result; undefined if it has one. */
  error: PlasmError | undefined;
  /** Standard output. */
  stdout: Uint8Array;
  /** Standard error. */
  stderr: Uint8Array;
  /** Output files by guest path. */
  outputs: Map<string, Uint8Array>;
  /** The receipt, if there is one. That of a daemon or another node has been verified with the output. */
  receipt: Receipt | undefined;
  /** With `agree` the receipts of all nodes that agree; each is of another node, and they have the same claim. */
  receipts: Receipt[] | undefined;
  /** Receipts of nodes that contradict each other, if any do: verify them with `verifyEvidence`. */
  evidence: Evidence | undefined;
  /** Where it ran: `local`, `daemon`, `agreed` or a peer id; undefined if it did not. */
  node: string | undefined;
  /** Attempts that were made. */
  attempts: number;
}

/** Default memory limit of a job, in MiB, as in a manifest. */
const DEFAULT_MEMORY_MB = 256;

/**
 * Runs a module for each item and yields the results. Items are read as jobs start, so that there may be any number of
 * them; reading the results slowly applies backpressure, and leaving the loop stops the jobs. A job that fails is a
 * result, too.
 *
 * With `where`, a daemon or nodes of the network run the jobs: a job that a node loses, refuses or answers falsely goes
 * to another one.
 *
 * @throws {PlasmError} `bad-module` if the module cannot be run, `usage`; `no-daemon`; `interrupted` if the signal
 * aborts; an error of the items
 *
 * @example
 * ```ts
 * import { mapJobs } from "@plasm/plasm/map";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const describe = (text: string) => ({ stdin: new TextEncoder().encode(text) });
 * const results = mapJobs(module, ["one", "two"], { describe, keepOrder: true });
 * const texts = await Array.fromAsync(results, ({ stdout }) => new TextDecoder().decode(stdout));
 * assertEquals(texts, ["eno", "owt"]);
 * ```
 */
export async function* mapJobs<T>(
  module: Uint8Array,
  items: Iterable<T> | AsyncIterable<T>,
  options: MapOptions<T>,
): AsyncGenerator<MapResult<T>, void, void> {
  const { describe, keepOrder = false, tries = 1, halt, signer, ceilings, signal } = options;
  const { where, jobs, memoryMb = DEFAULT_MEMORY_MB } = options;
  for (const [name, value] of Object.entries({ jobs, tries, memoryMb })) {
    if (value === undefined) continue;
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new PlasmError("usage", `Cannot map: ${name} must be a whole number above 0: ${value}`);
  }
  const rule = halt === undefined ? DEFAULT_HALT : parseHalt(halt);
  const moduleHash = await sha256(module);
  let isChecked = false;
  const complete = async (item: T, index: number): Promise<PlacedJob> => {
    const { stdin = new Uint8Array(), ...description } = await describe(item, index);
    const { manifest: base, inputs = {} } = description;
    const env = { PLASM_INDEX: String(index), ...base?.env, ...description.env };
    const manifest = manifestOf(
      base === undefined ? { ...description, env } : { ...description, manifest: { ...base, env } },
      { module: moduleHash, inputs: await hashInputs(inputs) },
    );
    if (!isChecked) await checkModule(module, manifest);
    isChecked = true;
    return { module, moduleHash, manifest, stdin, inputs };
  };
  // Not `await using`: a generator loses it in the compiled program, see scripts/compile/using_test.ts.
  const placement = await place(where, { module, jobs, memoryMb, signer, ceilings, signal });
  try {
    const scheduler = new MapScheduler<T, MemoryOutput>(items, {
      placement,
      describe: complete,
      createOutput: ({ manifest }) => new MemoryOutput(manifest.outputs ?? []),
      keepOrder,
      tries,
      halt: rule,
      isFailure: ({ outcome, output }) => isFailed(outcome, output),
      signal,
    });
    for await (const result of scheduler.results()) yield resultOf(result);
    if (scheduler.haltReason !== undefined) {
      throw new PlasmError("interrupted", `Stopped before the end: ${scheduler.haltReason}`);
    }
  } finally {
    await placement[Symbol.asyncDispose]();
  }
}

/** Options of {@linkcode place}. */
interface PlaceOptions extends Partial<Pick<LocalPlacementOptions, "signer" | "ceilings">> {
  module: Uint8Array;
  jobs: number | undefined;
  memoryMb: number;
  signal: AbortSignal | undefined;
}

/** Connects to where the jobs run. What this needs is loaded on demand. */
async function place(
  where: MapDaemon | MapNetwork | undefined,
  { module, jobs, memoryMb, signer, ceilings, signal }: PlaceOptions,
): Promise<Placement> {
  if (where === undefined) {
    const cores = jobs ?? navigator.hardwareConcurrency;
    return new LocalPlacement({ jobs: cores, memoryMb, signer, ceilings });
  }
  if ("daemon" in where) {
    const { connectDaemon } = await import("../client/mod.ts");
    const { DaemonPlacement } = await import("./daemon_placement.ts");
    return await DaemonPlacement.create(connectDaemon(where.daemon), { jobs, signal });
  }
  const { bootstrap, peers = [], arch, identity, agree, nodes, sameNetwork } = where;
  if (bootstrap.length === 0 && !peers.some((peer) => peer.startsWith("/"))) {
    throw new PlasmError("usage", "Cannot map: where.bootstrap names no node", {
      hint: "Name any node of the network, or peers by their multiaddrs",
    });
  }
  if (agree === undefined && (nodes !== undefined || sameNetwork !== undefined)) {
    throw new PlasmError("usage", "Cannot map: where.nodes and where.sameNetwork need where.agree");
  }
  // The network first: see lib/p2p/patches/hidden_environment.ts.
  const { createNetwork } = await import("../p2p/mod.ts");
  const { quorumLimit } = await import("../quorum/mod.ts");
  if (agree !== undefined) quorumLimit({ agree, nodes });
  const { AgreedPlacement, RemotePlacement } = await import("./remote/mod.ts");
  const network = await createNetwork({
    identity: identity ?? await ephemeralIdentity(),
    bootstrap,
    mode: "client",
  });
  const resources = { ...DEFAULT_RESOURCES, memory_mb: memoryMb };
  const found = { network, resources, module, peers, arch: arch && parseArch(arch), jobs };
  if (agree === undefined) return new RemotePlacement(found);
  return new AgreedPlacement({ ...found, quorum: { agree, nodes: nodes ?? agree }, sameNetwork });
}

function isFailed({ status, exitCode }: JobOutcome, output: MemoryOutput | undefined): boolean {
  return status !== "exited" || exitCode !== 0 || (output?.missing.length ?? 0) > 0;
}

function resultOf<T>(result: ItemResult<T, MemoryOutput>): MapResult<T> {
  const { index, item, outcome, error, receipt, receipts, evidence, node, attempts } = result;
  const { output } = result;
  return {
    index,
    item,
    outcome,
    error,
    receipt,
    receipts,
    evidence,
    node,
    attempts,
    stdout: output?.bytes("stdout") ?? new Uint8Array(),
    stderr: output?.bytes("stderr") ?? new Uint8Array(),
    outputs: output?.files ?? new Map(),
  };
}

/** Output of one attempt in memory. */
class MemoryOutput implements MapOutput {
  readonly #outputs: readonly string[];
  #parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  #files: FilesInMemory;

  constructor(outputs: readonly string[]) {
    this.#outputs = outputs;
    this.#files = new FilesInMemory(outputs);
  }

  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#parts[stream].push(data.slice());
  }

  async addFiles(data: Uint8Array): Promise<void> {
    await this.#files.add(data);
  }

  reset(): void {
    this.#parts = { stdout: [], stderr: [] };
    this.#files = new FilesInMemory(this.#outputs);
  }

  /** Declared outputs that the job does not have. */
  get missing(): string[] {
    return missingOutputs(this.#outputs, this.#files.files);
  }

  bytes(stream: "stdout" | "stderr"): Uint8Array {
    return concat(this.#parts[stream]);
  }

  get files(): Map<string, Uint8Array> {
    return this.#files.content;
  }

  [Symbol.dispose](): void {}
}
