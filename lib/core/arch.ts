/**
 * Names of processor architectures.
 *
 * @module
 */
import { PlasmError } from "./errors/mod.ts";

/** Architectures that nodes announce. */
export const ARCHITECTURES: readonly string[] = ["x86_64", "aarch64"];

/** Other names of these architectures: those of Debian, Go, Docker and Node. */
const ALIASES: Readonly<Record<string, string>> = {
  amd64: "x86_64",
  x64: "x86_64",
  "x86-64": "x86_64",
  arm64: "aarch64",
};

/**
 * Returns the name that nodes announce for an architecture.
 *
 * @throws {PlasmError} `usage` if the architecture is unknown
 */
export function parseArch(text: string): string {
  const name = Object.hasOwn(ALIASES, text) ? ALIASES[text]! : text;
  if (ARCHITECTURES.includes(name)) return name;
  throw new PlasmError("usage", `Cannot use architecture ${JSON.stringify(text.slice(0, 64))}`, {
    hint: `Use one of ${ARCHITECTURES.join(", ")}, or an alias: ${Object.keys(ALIASES).join(", ")}`,
  });
}
