/**
 * What a node lets one job ask for; by itself, for who needs no more of the limits than that.
 * @module
 */

/** The most one job may ask for; in the units of the manifest. */
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
  /** In-memory file system, inputs included, in bytes. */
  fs_bytes: number;
  /** Size of a module, in bytes. */
  module_bytes: number;
}

/** What a job may ask for where no operator says otherwise: what a small machine can bear. */
export const DEFAULT_CEILINGS: Readonly<Ceilings> = {
  cpu_cores: 1,
  memory_mb: 4096,
  timeout_seconds: 86_400,
  cpu_seconds: 86_400,
  output_bytes: 2 ** 40,
  fs_bytes: 256 * 2 ** 20,
  module_bytes: 256 * 2 ** 20,
};
