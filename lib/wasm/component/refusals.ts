/**
 * Builds the errors for components that cannot run, with the next step.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { badModule, quoteName } from "../reader.ts";
import { describeFunctions, type ExportedFunction, hintForFunctions } from "../invocation/mod.ts";
import type { LinkedComponent } from "./plan.ts";

/** A function that a component imports and WASI 0.2 does not define. */
export interface UnsupportedImport {
  /** Name of the interface; without its version if it is one of WASI 0.2. */
  interfaceName: string;
  /** Name of the function. */
  name: string;
  /** Type of the function. */
  found: string;
  /** Type that WASI 0.2 defines; undefined if it has no such function. */
  wanted: string | undefined;
}

/** Number of unsupported imports that a message lists. */
const LISTED_IMPORTS = 5;

/** Longest type in a message, in characters. */
const LISTED_TYPE = 120;

/** Error for a component that imports what no job has. */
export function refuseImports(unsupported: readonly UnsupportedImport[]): PlasmError {
  const { interfaceName, name, found, wanted } = unsupported[0]!;
  if (wanted !== undefined) {
    const short = (type: string) =>
      type.length > LISTED_TYPE ? `${type.slice(0, LISTED_TYPE)}…` : type;
    return badModule(
      `it imports ${quoteName(name)} of ${interfaceName} as ${short(found)}, ` +
        `WASI 0.2 defines ${short(wanted)}`,
      { hint: "The component was built from another interface; build it from WASI 0.2's own" },
    );
  }
  const named = unsupported.slice(0, LISTED_IMPORTS).map(({ interfaceName, name }) =>
    interfaceName === "" ? quoteName(name) : `${quoteName(name)} of ${quoteName(interfaceName)}`
  );
  const rest = unsupported.length - named.length;
  return badModule(
    `it imports ${named.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}, which no job has`,
    {
      hint: /^wasi:.*@0\.[^2]/.test(interfaceName)
        ? "Build for WASI 0.2: cargo build --target wasm32-wasip2"
        : "A job has wasi:cli, io, clocks, random and filesystem of version 0.2; compose the rest into the " +
          "component: wac plug",
      details: { count: unsupported.length, imports: named },
    },
  );
}

/** Error for a component whose memories start above the limit. */
export function refuseLimits(asked: number, allowed: number): PlasmError {
  return new PlasmError(
    "job-memory",
    `Cannot run module: the memories of its core instances start with ${asked} bytes, limit ${allowed}`,
    { hint: "Raise the job's memory: --memory-mb", details: { asked, allowed } },
  );
}

/** Error for a component whose tables start above the limit. */
export function refuseTables(asked: number, allowed: number): PlasmError {
  return new PlasmError(
    "over-limit",
    `Cannot run module: the tables of its core instances start with ${asked} entries, limit ${allowed}`,
    { details: { asked, allowed } },
  );
}

/** Number of exports that a message lists. */
const LISTED_EXPORTS = 5;

/** Error for a component that is no command. */
export function refuseCommand(
  { exports }: Pick<LinkedComponent, "exports">,
  functions: readonly ExportedFunction[],
): PlasmError {
  const listed = exports.slice(0, LISTED_EXPORTS).map(quoteName);
  const rest = exports.length - listed.length;
  const found = listed.length === 0
    ? "nothing"
    : `${listed.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
  const isServer = exports.some((name) => name.startsWith("wasi:http/incoming-handler@"));
  const call = isServer ? "It serves HTTP, which no job does" : hintForFunctions(functions);
  const build = "uild it as a command with a main function: cargo build --target wasm32-wasip2";
  return badModule(
    `it is a component that exports ${found}, expected wasi:cli/run@0.2` +
      describeFunctions(functions),
    {
      hint: call === undefined ? `B${build}` : `${call}${isServer ? "; b" : ", or b"}${build}`,
      details: { exports: listed },
    },
  );
}
