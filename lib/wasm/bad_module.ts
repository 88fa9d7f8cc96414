/**
 * How a refused module is spoken of: one code, one way to quote what the module itself named.
 * @module
 */
import { type JsonValue, PlasmError } from "../core/errors/mod.ts";

/** Long enough for a mangled C++ import, short enough for a terminal's line. */
const QUOTED_CHARACTERS = 60;

// Control and format characters (Cc, Cf: bidi overrides too), line separators and lone surrogates
// could forge a line of a log or of a terminal.
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}"\\]/gu;

/** Options of {@linkcode badModule}. */
export interface BadModuleOptions {
  /** What to do next, as a sentence without a period. @default {undefined} */
  hint?: string | undefined;
  /** The figures of the message, for programs. @default {undefined} */
  details?: Record<string, JsonValue> | undefined;
}

/** Makes the error for a module that cannot be run: `what` says what was found in it. */
export function badModule(what: string, options: BadModuleOptions = {}): PlasmError {
  return new PlasmError("bad-module", `Cannot run module: ${what}`, options);
}

/** Quotes a name that the module chose: cut to {@linkcode QUOTED_CHARACTERS}, nothing unprintable. */
export function quoteName(name: string): string {
  const cut = name.length > QUOTED_CHARACTERS;
  const text = (cut ? name.slice(0, QUOTED_CHARACTERS) : name).replace(
    UNPRINTABLE,
    (character) =>
      character === '"' || character === "\\"
        ? `\\${character}`
        : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
  return `"${text}${cut ? "…" : ""}"`;
}
