/**
 * From what a manifest asks and what the operator allows to what the sandbox enforces.
 * @module
 */
import type { Resources } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { Ceilings } from "./default_ceilings.ts";
import type { SandboxLimits } from "./job_types.ts";

export { type Ceilings, DEFAULT_CEILINGS } from "./default_ceilings.ts";

/** Files, directories and links of a job: each costs the worker about 300 bytes. */
const MAX_INODES = 1_000_000;

/** Descriptors open at once: what Linux gives a process by default. */
const MAX_OPEN_FDS = 1024;

const UNITS = {
  cpu_cores: " cores",
  memory_mb: " MB",
  timeout_seconds: " s",
  cpu_seconds: " s",
  output_bytes: " bytes",
} as const satisfies { [field in keyof Resources]: string };

/**
 * The limits of a job.
 *
 * @throws {PlasmError} `over-limit`, with figures, when it asks for more than the ceilings.
 */
export function limitsOf(resources: Resources, ceilings: Ceilings): SandboxLimits {
  for (const [field, unit] of Object.entries(UNITS) as [keyof Resources, string][]) {
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
  };
}
