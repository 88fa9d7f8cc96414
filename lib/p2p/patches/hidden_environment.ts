/**
 * Hides the environment from libp2p while it loads: a library for colored logs reads it, which would require a
 * permission that plasm does not need.
 *
 * The first import of `lib/p2p/mod.ts`, which calls {@linkcode restoreEnvironment} after its last one.
 *
 * @module
 */
import process from "node:process";

const original = Object.getOwnPropertyDescriptor(process, "env");
const isHidden = Deno.permissions.querySync({ name: "env" }).state !== "granted" &&
  original?.configurable === true;
if (isHidden) Object.defineProperty(process, "env", { ...original, value: {} });

/** Restores `process.env`. */
export function restoreEnvironment(): void {
  if (isHidden) Object.defineProperty(process, "env", original!);
}
