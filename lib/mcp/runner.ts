/**
 * Runs the jobs of an agent: what may be read, where jobs run, and what is kept of them.
 *
 * @module
 */
import type { DaemonClient } from "../client/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { type JobInputs, loadOrCreateIdentity, type Signer } from "../core/mod.ts";
import {
  fetchModule,
  fetchReference,
  moduleCacheDir,
  type ModuleReference,
  ModuleStore,
  parseReference,
  programName,
} from "../modules/mod.ts";
import { ExecutorPool } from "../sandbox/host/mod.ts";
import { type Ceilings, type JobResult, runJob, type RunJobOptions } from "../sandbox/mod.ts";
import { escapeText } from "../util/mod.ts";
import { AllowedPaths } from "./allowed_paths.ts";
import { ResultStore } from "./result_store.ts";

/** Most bytes of standard output and error of a job: they are kept in memory. */
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;

/** Tenant of all jobs: they share executors, as those of one user. */
const TENANT = "mcp";

/** A Python interpreter for the tool `run_python`. */
export interface PythonProgram {
  /** The module, as for `run_module`. */
  module: string;
  /** Files that it needs, such as its library, by guest path. */
  inputs: JobInputs;
  /** Its environment. */
  env: Record<string, string>;
}

/** How an agent reaches other nodes. */
export interface McpNetwork {
  /** Multiaddrs of nodes to join the network through. */
  bootstrap: () => Promise<readonly string[]>;
  /** Connects to the daemon, for `find_nodes`. */
  connect: () => DaemonClient;
}

/** Options of {@linkcode McpRunner.create}. */
export interface McpRunnerOptions {
  /** Directories from which modules and inputs may be read. */
  dirs: readonly string[];
  /** Hosts from which modules may be fetched. */
  hosts: readonly string[];
  /** Maximum resources of a job. */
  ceilings: Ceilings;
  /** Directory of the key that signs receipts. */
  stateDir: string;
  /** Looks up environment variables: of the module cache and of registries. */
  env: (name: string) => string | undefined;
  /** Jobs at the same time. @default {one for each processor} */
  concurrency?: number | undefined;
  /** Access to other nodes; enables the tools of the network. @default {disabled} */
  network?: McpNetwork | undefined;
  /** Enables the tool `run_python`. @default {disabled} */
  python?: PythonProgram | undefined;
}

/** A module that has been read. */
export interface NamedModule {
  module: Uint8Array;
  /** Name of the program. */
  name: string | undefined;
}

/** Options of {@linkcode McpRunner.readModule} and {@linkcode McpRunner.readProgram}. */
export interface NamedModuleOptions {
  /** Aborts a download. */
  signal: AbortSignal;
}

/** Runs jobs in executors that stay warm between calls. */
export class McpRunner implements AsyncDisposable {
  readonly options: McpRunnerOptions;
  readonly allowed: AllowedPaths;
  readonly results: ResultStore = new ResultStore();
  readonly signer: Signer;
  readonly #pool: ExecutorPool;
  readonly #ceilings: Ceilings;
  readonly #waiting: (() => void)[] = [];
  #free: number;

  private constructor(options: McpRunnerOptions, allowed: AllowedPaths, signer: Signer) {
    this.options = options;
    this.allowed = allowed;
    this.signer = signer;
    this.#free = options.concurrency ?? navigator.hardwareConcurrency;
    const { ceilings } = options;
    this.#ceilings = {
      ...ceilings,
      output_bytes: Math.min(ceilings.output_bytes, MAX_OUTPUT_BYTES),
      output_files_bytes: Math.min(ceilings.output_files_bytes, MAX_OUTPUT_BYTES),
    };
    this.#pool = new ExecutorPool({
      warm: 1,
      maxIdle: this.#free,
      maxMemoryBytes: ceilings.memory_mb * 2 ** 20 + ceilings.fs_bytes,
    });
  }

  /**
   * Reads the key and checks the directories.
   *
   * @throws {PlasmError} `usage`, `state`
   */
  static async create(options: McpRunnerOptions): Promise<McpRunner> {
    const allowed = await AllowedPaths.of(options.dirs);
    return new McpRunner(options, allowed, await loadOrCreateIdentity(options.stateDir));
  }

  /** Limits of a job. */
  get ceilings(): Ceilings {
    return this.#ceilings;
  }

  /**
   * Reads a module that an agent names: from a served directory, the module cache or a host that the command line
   * names.
   *
   * @throws {PlasmError} `policy`, or as `fetchModule`
   */
  async readModule(reference: string, { signal }: NamedModuleOptions): Promise<NamedModule> {
    const parsed = parseSource(reference);
    const name = programName(parsed);
    const maxBytes = this.#ceilings.module_bytes;
    const { env, hosts } = this.options;
    if (parsed.kind === "file") {
      return { module: await this.allowed.readFile(parsed.path, { maxBytes }), name };
    }
    if (parsed.kind === "hash") {
      const { module } = await fetchModule(reference, { maxBytes, env, signal, offline: true });
      return { module, name };
    }
    if (hosts.length === 0) {
      throw new PlasmError("policy", `Cannot fetch ${escapeText(reference)}: no host is allowed`, {
        hint: "Ask the user to start plasm mcp with --host HOST",
      });
    }
    const { HostPolicy } = await import("../modules/policy/mod.ts");
    const { module } = await fetchReference(parsed, {
      maxBytes,
      env,
      signal,
      cache: new ModuleStore(moduleCacheDir(env)),
      policy: new HostPolicy(hosts),
    });
    return { module, name };
  }

  /**
   * Reads a module that the command line names: from any file, URL or registry.
   *
   * @throws {PlasmError} As `fetchModule`
   */
  async readProgram(reference: string, { signal }: NamedModuleOptions): Promise<NamedModule> {
    const parsed = parseSource(reference);
    const name = programName(parsed);
    const maxBytes = this.#ceilings.module_bytes;
    if (parsed.kind === "file") {
      const files = await AllowedPaths.of(["/"]);
      return { module: await files.readFile(await Deno.realPath(parsed.path), { maxBytes }), name };
    }
    const { module } = await fetchModule(reference, { maxBytes, env: this.options.env, signal });
    return { module, name };
  }

  /** Runs a job on this machine, once an executor is free. */
  async run(
    module: Uint8Array,
    options: RunJobOptions & { signal: AbortSignal },
  ): Promise<JobResult> {
    return await this.withExecutor(options.signal, (executor) =>
      runJob(module, {
        ...options,
        ceilings: this.#ceilings,
        signer: this.signer,
        executor,
      }));
  }

  /** Calls a function with an executor, once one is free. */
  async withExecutor<T>(
    signal: AbortSignal,
    use: (executor: Awaited<ReturnType<ExecutorPool["acquire"]>>) => Promise<T>,
  ): Promise<T> {
    await this.#slot(signal);
    try {
      const executor = await this.#pool.acquire({ tenant: TENANT, signal });
      try {
        return await use(executor);
      } finally {
        this.#pool.release(executor);
      }
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }

  async #slot(signal: AbortSignal): Promise<void> {
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => {
      const at = this.#waiting.indexOf(resolve);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(
        new PlasmError("interrupted", "Stopped waiting for an executor: the call was cancelled"),
      );
    };
    signal.addEventListener("abort", abort, { once: true });
    this.#waiting.push(resolve);
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Ends the executors. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }
}

/** Parses a reference to a module, which cannot be standard input. */
function parseSource(reference: string): Exclude<ModuleReference, { kind: "stdin" }> {
  const parsed = parseReference(reference);
  if (parsed.kind !== "stdin") return parsed;
  throw new PlasmError("usage", "Cannot read module from standard input: it carries the protocol", {
    hint: "Name a file, a URL, a registry's reference or sha256:…",
  });
}
