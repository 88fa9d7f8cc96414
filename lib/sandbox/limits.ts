/**
 * Computes sandbox limits from the manifest and the node's ceilings.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import type { Resources } from "../core/mod.ts";
import type { SandboxLimits } from "./job_types.ts";

/** Maximum resources of one job on a node, in the units of the manifest. */
export interface Ceilings {
  /** Processor cores. */
  cpu_cores: number;
  /** Linear memories, in MiB. */
  memory_mb: number;
  /** Wall time, in seconds. */
  timeout_seconds: number;
  /** CPU time, in seconds. */
  cpu_seconds: number;
  /** stdout and stderr together, in bytes. */
  output_bytes: number;
  /** Content of all output files together, in bytes. */
  output_files_bytes: number;
  /** In-memory file system, including inputs, in bytes. */
  fs_bytes: number;
  /** Size of a module, in bytes. */
  module_bytes: number;
}

/** Ceilings of a node whose operator has set none: what a small machine can run. */
export const DEFAULT_CEILINGS: Readonly<Ceilings> = {
  cpu_cores: 1,
  memory_mb: 4096,
  timeout_seconds: 86_400,
  cpu_seconds: 86_400,
  output_bytes: 2 ** 40,
  output_files_bytes: 2 ** 30,
  fs_bytes: 256 * 2 ** 20,
  module_bytes: 256 * 2 ** 20,
};

/** Files, directories and links of a job: each costs the worker about 300 bytes. */
const MAX_INODES = 1_000_000;

/** File descriptors open at the same time: the default limit of a Linux process. */
const MAX_OPEN_FDS = 1024;

const UNITS = {
  cpu_cores: " cores",
  memory_mb: " MB",
  timeout_seconds: " s",
  cpu_seconds: " s",
  output_bytes: " bytes",
  output_files_bytes: " bytes",
} as const satisfies { [field in keyof Ceilings & keyof Resources]: string };

/**
 * Computes the limits of a job.
 *
 * @throws {PlasmError} `over-limit`, with figures, if it requests more than the ceilings
 */
export function limitsOf(resources: Resources, ceilings: Ceilings): SandboxLimits {
  for (const [field, unit] of Object.entries(UNITS) as [keyof typeof UNITS, string][]) {
    const asked = resources[field];
    const allowed = ceilings[field];
    if (asked !== undefined && asked > allowed) {
      throw new PlasmError(
        "over-limit",
        `Cannot accept job: asked ${asked}${unit} of ${field}, node allows ${allowed}${unit}`,
        {
          hint: `Lower resources.${field}, or raise jobs.ceilings.${field} of the node`,
          details: { field: `resources.${field}`, asked, allowed },
        },
      );
    }
  }
  const cpuSeconds = resources.cpu_seconds ?? ceilings.cpu_seconds;
  return {
    memoryBytes: resources.memory_mb * 2 ** 20,
    wallTimeMs: resources.timeout_seconds * 1000,
    cpuTimeMs: cpuSeconds * 1000,
    outputBytes: resources.output_bytes ?? ceilings.output_bytes,
    fsBytes: ceilings.fs_bytes,
    fsInodes: MAX_INODES,
    openFds: MAX_OPEN_FDS,
    moduleBytes: ceilings.module_bytes,
    outputFilesBytes: resources.output_files_bytes ?? ceilings.output_files_bytes,
    fuel: resources.fuel,
  };
}
