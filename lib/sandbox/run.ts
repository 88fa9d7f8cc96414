/**
 * Runs one module in an executor: the sandbox's front door.
 * @module
 */
import { Executor } from "./executor.ts";
import { inspectModule } from "./inspect/inspect.ts";
import type { SandboxEvent, SandboxJob } from "./types.ts";

/** Options of {@linkcode runSandbox}. */
export interface RunSandboxOptions {
  /** Cancels the job, which then finishes with status `cancelled`. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * The executor to use, of a pool; its owner takes it back.
   * @default {one of its own, ended afterwards}
   */
  executor?: Executor | undefined;
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
  const isKept = moduleKey !== undefined && options.executor?.hasModule(moduleKey);
  const { bytes } = isKept
    ? { bytes: job.module }
    : inspectModule(job.module, { moduleBytes, memoryBytes });
  const checked = { ...job, module: bytes, moduleKey };
  const { signal } = options;
  if (options.executor !== undefined) {
    return yield* options.executor.run(checked, { signal });
  }
  const executor = new Executor({ maxMemoryBytes: memoryBytes + job.limits.fsBytes });
  try {
    yield* executor.run(checked, { signal });
  } finally {
    await executor.kill();
  }
}
