/**
 * Reads the import section: only functions of preview1, with preview1's own types.
 * @module
 */
import type { PlasmError } from "../core/errors/mod.ts";
import { badModule, quoteName } from "./bad_module.ts";
import { ByteReader } from "./reader.ts";
import { hintForImports } from "./import_hints.ts";
import { readLimits } from "./limits_field.ts";
import { PREVIEW1, PREVIEW1_TYPES } from "./preview1_imports.ts";
import type { Section } from "./sections.ts";
import { skipReferenceType } from "./table_parts.ts";
import { functionType, readValueType, type TypesInfo } from "./types_section.ts";

/** What can be imported or exported, by its byte in the binary. */
const KINDS = ["function", "table", "memory", "global", "tag"] as const;

/** What can be imported or exported. */
export type ExternalKind = typeof KINDS[number];

/** An import of a module that was accepted. */
export interface InspectedImport {
  module: string;
  name: string;
  kind: ExternalKind;
}

/** A linker writes each import once: forty-six, or some thousands where all of them are unknown. */
const MAX_IMPORTS = 10_000;

/** How many refused imports a message names. */
const NAMED_IMPORTS = 5;

/** Reads the kind byte of an import or export. */
export function readKind(reader: ByteReader): ExternalKind {
  const byte = reader.byte();
  return KINDS[byte] ?? reader.fail(`has an unknown kind 0x${byte.toString(16)}`);
}

/** What an import section says. */
export interface ImportsInfo {
  list: InspectedImport[];
  /** Type index of each imported function. */
  functionTypes: number[];
}

/** Reads the import section and throws `bad-module` for what no preview1 host gives. */
export function readImports(
  bytes: Uint8Array,
  options: { section: Section | undefined; types: TypesInfo; telling: ReadonlySet<string> },
): ImportsInfo {
  const list: InspectedImport[] = [];
  const functionTypes: number[] = [];
  if (options.section === undefined) return { list, functionTypes };
  const reader = new ByteReader(bytes, "import section", options.section);
  const count = reader.count("imports", 4);
  if (count > MAX_IMPORTS) {
    reader.fail(`has ${count} imports, ${MAX_IMPORTS} are allowed,`);
  }
  const refused: InspectedImport[] = [];
  for (let left = count; left > 0; left--) {
    const module = reader.name();
    const name = reader.name();
    const kind = readKind(reader);
    const found = { module, name, kind };
    if (kind === "function") functionTypes.push(reader.u32());
    else skipImportType(reader, kind);
    list.push(found);
    if (kind !== "function" || module !== PREVIEW1 || !PREVIEW1_TYPES.has(name)) {
      refused.push(found);
    }
  }
  reader.finish();
  if (refused.length > 0) throw refusal(refused, options.telling);
  list.forEach(({ name }, index) => {
    const wanted = PREVIEW1_TYPES.get(name);
    const type = functionType(bytes, options.types, functionTypes[index] ?? -1);
    if (type !== wanted) {
      throw badModule(`it imports ${name} as (${type}), preview1 has (${wanted})`, {
        hint: "Build it against wasi-libc or another binding made from the preview1 witx",
        details: { name, found: type, wanted: wanted ?? null },
      });
    }
  });
  return { list, functionTypes };
}

/** Steps over what says more about an import that is refused anyway, to be able to name the next. */
function skipImportType(reader: ByteReader, kind: Exclude<ExternalKind, "function">): void {
  if (kind === "memory") readLimits(reader);
  else if (kind === "table") {
    skipReferenceType(reader);
    readLimits(reader);
  } else if (kind === "global") {
    readValueType(reader);
    reader.skip(1);
  } else {
    reader.skip(1);
    reader.u32();
  }
}

function refusal(refused: readonly InspectedImport[], telling: ReadonlySet<string>): PlasmError {
  const named = refused.slice(0, NAMED_IMPORTS).map(({ module, name, kind }) =>
    `${kind} ${quoteName(module)}.${quoteName(name)}`
  );
  const rest = refused.length - named.length;
  return badModule(
    `it imports ${named.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}, which WASI preview1 ` +
      "does not have",
    {
      hint: hintForImports(refused, telling),
      details: { count: refused.length, imports: named },
    },
  );
}
