/**
 * Watches one job from the executor's main thread, which its guest cannot block: wall time, CPU
 * time and the process's resident memory.
 * @module
 */
import process from "node:process";
import type { UsageReport } from "../ipc/mod.ts";
import type { JobStatus, SandboxLimits } from "../job_types.ts";

/** How often CPU time and memory are looked at, in ms: 20 µs of work each, well under 100 ms late. */
const INTERVAL_MS = 20;

/** How many looks pass between two Usage frames. */
const LOOKS_PER_REPORT = 5;

/**
 * Resident memory that a job may cost besides its linear memory and files, in bytes: generated code,
 * the engine's heap and rings. Measured growth: hello 12 MB; CPython (26 MB of module) 150 MB.
 */
const OVERHEAD_BYTES = 256 * 1024 * 1024;

/** The same for each byte of the module: source, generated code and the compiler's own memory. */
const OVERHEAD_PER_MODULE_BYTE = 4;

/** The process that began this one; another when that has died. */
const PARENT = Deno.ppid;

/** What was exceeded. */
export interface Exceeded {
  status: JobStatus;
  message: string;
}

/** Resident memory of the process, in bytes. */
export function residentBytes(): number {
  return Deno.memoryUsage().rss;
}

/** Options of {@linkcode JobMonitor}. */
export interface JobMonitorOptions {
  /** CPU time that was spent on the job before, in ms. @default {0} */
  cpuBeforeMs?: number;
}

/** Watches from {@linkcode JobMonitor.watch} until {@linkcode JobMonitor.stop}; counts from its construction. */
export class JobMonitor {
  /** Takes a figure now and then. @default {nothing} */
  report: (usage: UsageReport) => unknown = () => {};
  /** Size of the module, once it is known. @default {0} */
  moduleBytes = 0;
  readonly #limits: SandboxLimits;
  #cpuAtStart = processCpuMs();
  readonly #rssAtStart: number;
  readonly #startedAt = performance.now();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #interval: ReturnType<typeof setInterval> | undefined;
  #looks = 0;

  /** @param rssAtStart Resident memory before the job, as looking at it takes some time. */
  constructor(
    limits: SandboxLimits,
    rssAtStart: number,
    { cpuBeforeMs = 0 }: JobMonitorOptions = {},
  ) {
    this.#limits = limits;
    this.#rssAtStart = rssAtStart;
    this.#cpuAtStart -= cpuBeforeMs;
  }

  /** Watches from now on. Resolves when a limit is exceeded; never otherwise. */
  watch(): Promise<Exceeded> {
    const { wallTimeMs } = this.#limits;
    const { promise, resolve } = Promise.withResolvers<Exceeded>();
    this.#deadline = setTimeout(
      () => resolve(outOfWallTime(wallTimeMs)),
      wallTimeMs - (performance.now() - this.#startedAt),
    );
    this.#interval = setInterval(() => this.#look(resolve), INTERVAL_MS);
    return promise;
  }

  /** CPU time of the process since the job began, and what was spent on it before. */
  cpuTimeMs(): number {
    return processCpuMs() - this.#cpuAtStart;
  }

  /**
   * Which limit of time the job is beyond now, if any. Nobody looks while the engine validates a large module on
   * this thread, nor in between two looks: whoever has waited for the job looks himself.
   *
   * @param cpu CPU time of the job, where that is known. @default {looked at}
   */
  overTime(cpu: number = this.cpuTimeMs()): Exceeded | undefined {
    const { cpuTimeMs: cpuLimit, wallTimeMs } = this.#limits;
    if (cpu > cpuLimit) {
      const message = `Job stopped: it used more than its ${cpuLimit} ms of CPU time`;
      return { status: "timeout", message };
    }
    if (performance.now() - this.#startedAt <= wallTimeMs) return undefined;
    return outOfWallTime(wallTimeMs);
  }

  /** Growth of the process's resident memory since the job began. */
  rssGrowthBytes(): number {
    return Math.max(0, residentBytes() - this.#rssAtStart);
  }

  /** Stops watching. */
  stop(): void {
    clearTimeout(this.#deadline);
    clearInterval(this.#interval);
  }

  #look(resolve: (exceeded: Exceeded) => void): void {
    // Where setpriv is missing nothing else ends a busy guest whose parent was killed.
    if (Deno.ppid !== PARENT) Deno.exit(1);
    const cpu = this.cpuTimeMs();
    const rss = this.rssGrowthBytes();
    const { memoryBytes, fsBytes } = this.#limits;
    const exceeded = this.overTime(cpu);
    if (exceeded !== undefined) resolve(exceeded);
    else if (rss > memoryBytes + fsBytes + this.overheadBytes) {
      resolve({
        status: "memory",
        message: `Job stopped: its process grew by ${toMb(rss)} MB, ` +
          `the memory limit is ${toMb(memoryBytes)} MB`,
      });
    }
    if (++this.#looks % LOOKS_PER_REPORT === 0) {
      this.report({ cpuTimeMs: cpu, rssGrowthBytes: rss });
    }
  }

  /** What a job may cost the process besides its memory and files; one that holds more is not used again. */
  get overheadBytes(): number {
    return OVERHEAD_BYTES + OVERHEAD_PER_MODULE_BYTE * this.moduleBytes;
  }
}

function outOfWallTime(limitMs: number): Exceeded {
  return {
    status: "timeout",
    message: `Job stopped: it ran longer than its ${limitMs} ms of wall time`,
  };
}

function toMb(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** CPU time of this process, all threads, in whole milliseconds. */
export function processCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return Math.round((user + system) / 1000);
}
