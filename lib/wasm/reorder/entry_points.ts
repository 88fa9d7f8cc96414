/**
 * Where a run of a module can begin.
 * @module
 */
import { ByteReader } from "../reader.ts";
import type { Sections } from "../sections.ts";

/** What {@linkcode findEntryPoints} tells. */
export interface Roots {
  /** How many functions are imported. */
  imported: number;
  /** Exported functions and the start function; imported ones counted. */
  roots: number[];
}

const FUNCTION_KIND = 0;

/**
 * Reads imports, exports and the start function.
 *
 * @throws {PlasmError} `bad-module` where something else than functions is imported, or a section ends early.
 */
export function findEntryPoints(bytes: Uint8Array, { known }: Sections): Roots {
  const open = (name: "import" | "export" | "start"): ByteReader | undefined => {
    const section = known.get(name);
    return section && new ByteReader(bytes, `${name} section`, section);
  };
  const roots: number[] = [];
  const imports = open("import");
  const imported = imports?.count("imports", 4) ?? 0;
  for (let left = imported; imports !== undefined && left > 0; left--) {
    imports.skip(imports.u32());
    imports.skip(imports.u32());
    if (imports.byte() !== FUNCTION_KIND) imports.fail("imports what is no function");
    imports.u32();
  }
  const start = open("start");
  if (start !== undefined) roots.push(start.u32());
  const exports = open("export");
  for (let left = exports?.count("exports", 3) ?? 0; exports !== undefined && left > 0; left--) {
    exports.skip(exports.u32());
    const kind = exports.byte();
    const index = exports.u32();
    if (kind === FUNCTION_KIND) roots.push(index);
  }
  return { imported, roots };
}
