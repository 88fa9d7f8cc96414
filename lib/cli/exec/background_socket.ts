/**
 * Looks for the background daemon of `plasm exec`; loads nothing else, because it runs before the command line is
 * parsed.
 *
 * @module
 */
import { backgroundSocket, type Env } from "../../core/paths/mod.ts";

/** Reports whether a background daemon seems to run: its socket exists. */
export function hasBackgroundSocket(env: Env): boolean {
  // Only the compiled program starts one: a run from source does not know its own permissions.
  if (!Deno.build.standalone) return false;
  try {
    return Deno.lstatSync(backgroundSocket(env)).isSocket === true;
  } catch {
    return false; // no state directory, or no daemon
  }
}
