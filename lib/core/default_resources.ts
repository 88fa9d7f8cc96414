/**
 * What a job may use by default; by itself, for who needs no more of a manifest than that.
 * @module
 */
import type { Resources } from "./types.gen.ts";

/** What a job may use where its author says nothing. */
export const DEFAULT_RESOURCES: Readonly<Resources> = {
  cpu_cores: 1,
  memory_mb: 256,
  timeout_seconds: 60,
};
