/**
 * Monitors a job's wall time, CPU time and resident memory from the child's main thread, which a guest cannot block.
 *
 * @module
 */
import process from "node:process";
import type { UsageReport } from "../ipc/mod.ts";
import type { JobStatus, SandboxLimits } from "../job_types.ts";

/** Sampling interval in milliseconds: a sample costs 20 µs, and a limit is enforced within 100 ms. */
const INTERVAL_MS = 20;

/** Number of samples between two Usage frames. */
const SAMPLES_PER_REPORT = 5;

/** Growth that is reported at once, in bytes: the kernel may kill the process before the next report. */
const GROWTH_PER_REPORT_BYTES = 16 * 2 ** 20;

/**
 * Resident memory allowed in addition to linear memory and files, in bytes: generated code, the engine's heap and
 * rings. Measured growth: hello 12 MB; CPython (a module of 26 MB) 150 MB.
 */
const OVERHEAD_BYTES = 256 * 1024 * 1024;

/** Additional overhead for each byte of the module: source, generated code and the compiler's memory. */
const OVERHEAD_PER_MODULE_BYTE = 4;

/** Process id of the parent; it changes when the parent dies. */
const PARENT_PID = Deno.ppid;

/** A limit that a job has exceeded. */
export interface ExceededLimit {
  /** Status of the job. */
  status: JobStatus;
  /** Explanation with figures. */
  message: string;
}

/** Resident memory of the process, in bytes. */
export function residentBytes(): number {
  return Deno.memoryUsage().rss;
}

/** Options of {@linkcode JobMonitor}. */
export interface JobMonitorOptions {
  /** CPU time already spent on the job, in milliseconds. @default {0} */
  cpuBeforeMs?: number;
}

/** Measures a job from its construction, and monitors it between `watch()` and `stop()`. */
export class JobMonitor {
  /** Called periodically with the usage. @default {none} */
  report: (usage: Omit<UsageReport, "nondeterminism">) => unknown = () => {};
  /** Size of the module, in bytes. @default {0} */
  moduleBytes = 0;
  /** Size of the input files received so far, in bytes: they are not the job's memory. @default {0} */
  inputBytes = 0;
  readonly #limits: SandboxLimits;
  #cpuAtStart = processCpuMs();
  readonly #rssAtStart: number;
  readonly #startedAt = performance.now();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #interval: ReturnType<typeof setInterval> | undefined;
  #samples = 0;
  #rssReported = 0;

  /** Starts measuring; `rssAtStart` is the resident memory before the job, in bytes, sampled while idle. */
  constructor(
    limits: SandboxLimits,
    rssAtStart: number,
    { cpuBeforeMs = 0 }: JobMonitorOptions = {},
  ) {
    this.#limits = limits;
    this.#rssAtStart = rssAtStart;
    this.#cpuAtStart -= cpuBeforeMs;
  }

  /** Starts monitoring. Resolves when a limit is exceeded, and never otherwise. */
  watch(): Promise<ExceededLimit> {
    const { wallTimeMs } = this.#limits;
    const { promise, resolve } = Promise.withResolvers<ExceededLimit>();
    this.#deadline = setTimeout(
      () => resolve(exceededWallTime(wallTimeMs)),
      wallTimeMs - (performance.now() - this.#startedAt),
    );
    this.#interval = setInterval(() => this.#sample(resolve), INTERVAL_MS);
    return promise;
  }

  /** CPU time of the job, in milliseconds, including what was spent on it before. */
  cpuTimeMs(): number {
    return processCpuMs() - this.#cpuAtStart;
  }

  /**
   * Returns the time limit that the job exceeds now, if any.
   *
   * Sampling stops while V8 validates a large module on this thread, and a job can end between two samples, so
   * callers check once more after compilation and at the end.
   *
   * @param cpu CPU time of the job in milliseconds, if known
   */
  exceededTime(cpu: number = this.cpuTimeMs()): ExceededLimit | undefined {
    const { cpuTimeMs: cpuLimit, wallTimeMs } = this.#limits;
    if (cpu > cpuLimit) {
      const message = `Job stopped: it used more than its ${cpuLimit} ms of CPU time`;
      return { status: "timeout", message };
    }
    if (performance.now() - this.#startedAt <= wallTimeMs) return undefined;
    return exceededWallTime(wallTimeMs);
  }

  /** Growth of the process's resident memory since the job started, without its input files, in bytes. */
  rssGrowthBytes(): number {
    return Math.max(0, residentBytes() - this.#rssAtStart - this.inputBytes);
  }

  /** Stops monitoring. */
  stop(): void {
    clearTimeout(this.#deadline);
    clearInterval(this.#interval);
  }

  #sample(resolve: (exceeded: ExceededLimit) => void): void {
    // Without setpriv(1) and its parent-death signal, only this check ends a busy guest whose parent was killed.
    if (Deno.ppid !== PARENT_PID) Deno.exit(1);
    const cpu = this.cpuTimeMs();
    const rss = this.rssGrowthBytes();
    const { memoryBytes, fsBytes } = this.#limits;
    const exceeded = this.exceededTime(cpu);
    if (exceeded !== undefined) resolve(exceeded);
    else if (rss > memoryBytes + fsBytes + this.overheadBytes) {
      resolve({
        status: "memory",
        message: `Job stopped: its process grew by ${toMb(rss)} MB, ` +
          `the memory limit is ${toMb(memoryBytes)} MB`,
      });
    }
    const grew = rss - this.#rssReported >= GROWTH_PER_REPORT_BYTES;
    if (++this.#samples % SAMPLES_PER_REPORT === 0 || grew) {
      this.#rssReported = rss;
      this.report({ cpuTimeMs: cpu, rssGrowthBytes: rss });
    }
  }

  /** Memory allowed in addition to linear memory and files, in bytes; a process that retains more is not reused. */
  get overheadBytes(): number {
    return OVERHEAD_BYTES + OVERHEAD_PER_MODULE_BYTE * this.moduleBytes;
  }
}

function exceededWallTime(limitMs: number): ExceededLimit {
  return {
    status: "timeout",
    message: `Job stopped: it ran longer than its ${limitMs} ms of wall time`,
  };
}

function toMb(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** CPU time of all threads of this process, in whole milliseconds. */
export function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}
