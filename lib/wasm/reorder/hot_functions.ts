/**
 * Selects the hot functions of a module: those that may run long in a single call. V8 optimizes functions that are
 * called often without help.
 *
 * @module
 */
import { readImportedItems } from "../import_section.ts";
import { ByteReader } from "../reader.ts";
import type { Sections } from "../sections.ts";
import type { Code } from "./code_section.ts";

/** Fewest jump table targets in a loop that mark a bytecode interpreter. */
const INTERPRETER_TARGETS = 64;

/** Multiplies the weight of an interpreter loop: it runs longer than its size suggests. */
const INTERPRETER_FACTOR = 8;

/** Share of the slots for loops near an entry point: those of `main` matter however small they are. */
const NEAR_SHARE = 0.5;

/** Largest function that counts as a memory-growing helper such as `sbrk`, in bytes. */
const MAX_GROWER_BYTES = 256;

/** Options of {@linkcode selectHotFunctions}. */
export interface HotFunctionOptions {
  /** Number of imported functions. */
  imported: number;
  /** Function indices of the entry points, counting imported functions. */
  entryPoints: Iterable<number>;
  /** Largest number of functions to select. */
  slots: number;
}

/** Selects functions with loops and returns their body indices. */
export function selectHotFunctions(code: Code, options: HotFunctionOptions): number[] {
  const { slots } = options;
  const candidates: number[] = [];
  const allocators = findAllocators(code, options.imported);
  code.weight.forEach((weight, index) => {
    if (weight > 0 && !allocators.has(index)) candidates.push(index);
  });
  if (candidates.length <= slots) return candidates;
  const distances = callDistances(code, options);
  const near = candidates
    .filter((index) => distances[index] !== UNREACHED)
    .sort((a, b) => distances[a]! - distances[b]! || code.weight[b]! - code.weight[a]!)
    .slice(0, Math.floor(slots * NEAR_SHARE));
  const heat = (index: number): number =>
    code.weight[index]! * (code.targets[index]! < INTERPRETER_TARGETS ? 1 : INTERPRETER_FACTOR);
  const selected = new Set(near);
  for (const index of candidates.sort((a, b) => heat(b) - heat(a))) {
    if (selected.size === slots) break;
    selected.add(index);
  }
  return [...selected];
}

/**
 * Finds memory allocators such as `malloc`: functions with at least two references that call a small
 * memory-growing helper. Their loops walk free lists. They are slow to optimize (8 ms for wasi-libc's, a third of
 * a small job that is new to its executor), and where they matter V8 tiers them up because they are called often.
 */
function findAllocators(code: Code, imported: number): Set<number> {
  const found = new Set<number>();
  const isGrower = (index: number): boolean =>
    code.grows[index] === 1 && code.weight[index] === 0 && code.size[index]! <= MAX_GROWER_BYTES;
  if (!code.grows.includes(1)) return found;
  const { to, count } = code.references;
  const referenced = new Uint32Array(code.count);
  for (let at = 0; at < count; at++) {
    const index = to[at]! - imported;
    if (index >= 0 && index < code.count) referenced[index]!++;
  }
  for (let index = 0; index < code.count; index++) {
    if (code.weight[index] === 0 || referenced[index]! < 2) continue;
    const callees = to.subarray(code.firstReference[index], code.firstReference[index + 1]);
    if (callees.some((callee) => isGrower(callee - imported))) found.add(index);
  }
  return found;
}

/** Distance of functions that no entry point reaches by direct calls. */
const UNREACHED = 0xffff_ffff;

/** Call distance of each function from the nearest entry point (breadth-first search over direct calls). */
function callDistances(code: Code, { imported, entryPoints }: HotFunctionOptions): Uint32Array {
  const distances = new Uint32Array(code.count).fill(UNREACHED);
  const queue: number[] = [];
  const reach = (to: number, distance: number): void => {
    const index = to - imported;
    if (index < 0 || index >= code.count || distances[index] !== UNREACHED) return;
    distances[index] = distance;
    queue.push(index);
  };
  for (const index of entryPoints) reach(index, 0);
  for (let next = 0; next < queue.length; next++) {
    const index = queue[next]!;
    const last = code.firstReference[index + 1]!;
    for (let at = code.firstReference[index]!; at < last; at++) {
      reach(code.references.to[at]!, distances[index]! + 1);
    }
  }
  return distances;
}

/** Result of {@linkcode findEntryPoints}. */
export interface EntryPoints {
  /** Number of imported functions. */
  imported: number;
  /** Indices of the exported functions and the start function, counting imported functions. */
  entryPoints: number[];
}

const FUNCTION_KIND = 0;

/**
 * Finds the functions that the host can call.
 *
 * @throws {PlasmError} `bad-module` if a section is truncated.
 */
export function findEntryPoints(bytes: Uint8Array, { known }: Sections): EntryPoints {
  const open = (name: "export" | "start"): ByteReader | undefined => {
    const section = known.get(name);
    return section && new ByteReader(bytes, `${name} section`, section);
  };
  const entryPoints: number[] = [];
  const imported = readImportedItems(bytes, known.get("import")).functions.length;
  const start = open("start");
  if (start !== undefined) entryPoints.push(start.u32());
  const exports = open("export");
  for (let left = exports?.count("exports", 3) ?? 0; exports !== undefined && left > 0; left--) {
    exports.skip(exports.u32());
    const kind = exports.byte();
    const index = exports.u32();
    if (kind === FUNCTION_KIND) entryPoints.push(index);
  }
  return { imported, entryPoints };
}
