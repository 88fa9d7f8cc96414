/**
 * Defines the V8 flags and permissions compiled into the binary.
 * @module
 */
import config from "../../deno.json" with { type: "json" };
import { EXECUTOR_V8_FLAGS } from "../../lib/sandbox/host/spawn/spawn_executor.ts";

/**
 * Same permissions as the task `plasm`, so that compiled and source runs behave alike. Files and network cannot be
 * narrowed: modules, inputs, state and peers may be anywhere. The executor drops all permissions before it accepts a
 * job.
 */
const TASK_FLAGS = config.tasks.plasm.command.split(" ").filter((word) => word.startsWith("--"));

/** All compile-time flags. */
export const BAKED_FLAGS: readonly string[] = [
  ...TASK_FLAGS,
  ...config.unstable.map((name) => `--unstable-${name}`),
  "--deny-ffi",
  // All code is embedded; by default a compiled program may import from a list of hosts.
  "--deny-import",
  // The cache file would have a predictable name in the shared temporary directory, where another user could plant
  // code. Starting without it is 4 % slower.
  "--no-code-cache",
  // The first flags are for the executor: the main program runs no WebAssembly. An idle daemon collects garbage itself
  // (lib/daemon/idle_collection.ts).
  `${EXECUTOR_V8_FLAGS},--expose-gc`,
];
