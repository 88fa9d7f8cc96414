/**
 * What a hostile job may ask for in a manifest, and how it has to end: for the tests that run the whole
 * table, each by another door.
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../lib/errors.ts";
import { HOSTILE_LIMITS, type HostileModule } from "./case.ts";

/** How a job ended, by whatever door it came. */
export interface End {
  /** `rejected` stands for a PlasmError before the job began. */
  status: string;
  /** Code of the PlasmError. */
  code?: string;
  exitCode: number | null;
  message: string;
  stdout: string;
  stderrBytes: number;
  usage?: { wallTimeMs: number; cpuTimeMs: number; memoryPeakBytes: number };
}

/** The fields of a manifest that say what a case is given. */
export interface HostileManifest {
  resources: {
    memory_mb: number;
    timeout_seconds: number;
    cpu_seconds: number;
    output_bytes: number;
  };
  args: string[];
  env: Record<string, string>;
}

/**
 * A case's limits in the units of a manifest. What one cannot say (files, inodes, descriptors) is up to
 * the node: a case of those meets the node's own limit instead, with the same end.
 */
export function manifestOf({ limits, args = [], env = {} }: HostileModule): HostileManifest {
  const all = { ...HOSTILE_LIMITS, ...limits };
  return {
    resources: {
      memory_mb: all.memoryBytes / 2 ** 20,
      timeout_seconds: Math.ceil(all.wallTimeMs / 1000),
      cpu_seconds: Math.ceil(all.cpuTimeMs / 1000),
      output_bytes: all.outputBytes,
    },
    args: [...args],
    env: { ...env },
  };
}

/** The end that a thrown error tells of. */
export function rejection(error: unknown): End {
  if (!(error instanceof PlasmError)) throw error;
  const { code, message } = error;
  return { status: "rejected", code, exitCode: null, message, stdout: "", stderrBytes: 0 };
}

/** Checks that a case ended as it has to, and that the figures are those of such an end. */
export function assertEnd({ expect, name, limits }: HostileModule, end: End): void {
  const allowed = [expect.status].flat() as string[];
  assert(allowed.includes(end.status), `${name}: ${end.status} (${end.message}), not ${allowed}`);
  if (expect.code !== undefined) assertEquals(end.code, expect.code, name);
  if (expect.exitCode !== undefined) assertEquals(end.exitCode, expect.exitCode, name);
  if (expect.stdout !== undefined) assertEquals(end.stdout, expect.stdout, name);
  if (expect.messageIncludes !== undefined) {
    assertStringIncludes(end.message, expect.messageIncludes, name);
  }
  if (end.usage === undefined) return;
  const all = { ...HOSTILE_LIMITS, ...limits };
  const { wallTimeMs, cpuTimeMs, memoryPeakBytes } = end.usage;
  const figures = `${name}: ${JSON.stringify(end.usage)}`;
  assert(
    [wallTimeMs, cpuTimeMs, memoryPeakBytes].every((one) => Number.isSafeInteger(one) && one >= 0),
  );
  if (end.status === "timeout") {
    // The limit that was met was met, not nearly.
    const met = end.message.includes("CPU")
      ? cpuTimeMs >= all.cpuTimeMs
      : wallTimeMs >= all.wallTimeMs;
    assert(met, figures);
  }
  // A process that the kernel or the engine ended cannot tell its peak any more.
  if (end.status === "memory" && end.message.includes("grew by")) {
    assert(memoryPeakBytes > all.memoryBytes, figures);
  }
  if (end.status === "output") {
    assertEquals(end.stdout.length + end.stderrBytes, all.outputBytes, name);
  }
}
