/**
 * What is baked into the binary: flags of the engine and the permissions of the program.
 * @module
 */
import config from "../../deno.json" with { type: "json" };
import { TIER_MASK_FLAG } from "../../lib/sandbox/host/spawn/spawn_executor.ts";

/**
 * The flags of the task `plasm`, so that the program may do the same from source and compiled. Files
 * and network cannot be narrowed beforehand: modules, inputs, state and peers are wherever its user
 * says. An executor gives up all permissions before it takes a job.
 */
const TASK_FLAGS = config.tasks.plasm.command.split(" ").filter((word) => word.startsWith("--"));

/** All flags that are baked. */
export const BAKED_FLAGS: readonly string[] = [
  ...TASK_FLAGS,
  ...config.unstable.map((name) => `--unstable-${name}`),
  "--deny-ffi",
  // Code is what was embedded; without this a compiled program may import from a list of hosts.
  "--deny-import",
  // The cache would be a file of a known name in the temporary directory of all users: whoever makes it
  // first chooses what others run. Starting without costs 4 %.
  "--no-code-cache",
  // Of the executor; the main program has no WebAssembly.
  `--v8-flags=${TIER_MASK_FLAG}`,
];
