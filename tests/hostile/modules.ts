/**
 * Every hostile module there is. Some take down the process they run in: instantiate them in an
 * executor only.
 * @module
 */
import type { HostileModule } from "./case.ts";
import { COMPILE } from "./compile.ts";
import { EXITS } from "./exits.ts";
import { FILES } from "./files.ts";
import { MEMORY } from "./memory.ts";
import { PROGRAMS } from "./programs.ts";
import { REFUSED } from "./refused.ts";
import { TIME } from "./time.ts";
import { TRAPS } from "./traps.ts";

export { type Expectation, HOSTILE_LIMITS, type HostileModule } from "./case.ts";

/** Every hostile module there is. */
export const HOSTILE_MODULES: readonly HostileModule[] = [
  ...PROGRAMS,
  ...EXITS,
  ...TRAPS,
  ...TIME,
  ...MEMORY,
  ...FILES,
  ...COMPILE,
  ...REFUSED,
];
