/**
 * Runs one module in an executor: the sandbox's front door.
 * @module
 */
import { Executor } from "./host/mod.ts";
import { inspectModule } from "../wasm/mod.ts";
import type { SandboxEvent, SandboxJob } from "./job_types.ts";

/** Gives an executor for a job that may use so many bytes; the job is as the executor is to run it. */
export type ExecutorSource = (memoryBytes: number, job: SandboxJob) => Promise<Executor>;

/** Options of {@linkcode runSandbox}. */
export interface RunSandboxOptions {
  /** Cancels the job, which then finishes with status `cancelled`. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * The executor to use, or who gives one for a job that may use so many bytes; its owner takes it back.
   * @default {one of its own, ended afterwards}
   */
  executor?: Executor | ExecutorSource | undefined;
  /**
   * Whether output is overwritten once the event after it is asked for, which saves its copy.
   * @default {false}
   */
  lendsOutput?: boolean | undefined;
}

/**
 * Runs a job and yields `started`, its output as it comes, and `finished`. Who does not pull holds
 * the guest back; who leaves the loop kills it.
 *
 * @throws {PlasmError} `bad-module`, `job-memory`, `bad-input` when the job cannot begin,
 * `executor` when its process failed.
 */
export async function* runSandbox(
  job: SandboxJob,
  options: RunSandboxOptions = {},
): AsyncGenerator<SandboxEvent, void, void> {
  const { moduleBytes, memoryBytes } = job.limits;
  // What was inspected depends on these limits, so what was compiled does too.
  const moduleKey = job.moduleKey && `${job.moduleKey} ${moduleBytes} ${memoryBytes}`;
  const given = options.executor;
  const isKept = moduleKey !== undefined && given instanceof Executor &&
    given.hasModule(moduleKey);
  const { bytes } = isKept
    ? { bytes: job.module }
    : inspectModule(job.module, { moduleBytes, memoryBytes });
  const checked = { ...job, module: bytes, moduleKey };
  const { signal, lendsOutput } = options;
  const mostBytes = memoryBytes + job.limits.fsBytes;
  if (given !== undefined) {
    const executor = typeof given === "function" ? await given(mostBytes, checked) : given;
    return yield* executor.run(checked, { signal, lendsOutput });
  }
  const executor = new Executor({ maxMemoryBytes: mostBytes });
  // Not an `await using`, which the compiled program would lose: see scripts/compile/using_test.ts.
  try {
    yield* executor.run(checked, { signal, lendsOutput });
  } finally {
    await executor.kill();
  }
}
