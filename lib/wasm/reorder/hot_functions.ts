/**
 * Chooses the functions that the optimizing compiler is to have at once: those which may run long in
 * one call. What is called often is optimized without being chosen.
 * @module
 */
import type { Code } from "./code.ts";

/** A jump table of so many targets in a loop is taken for an interpreter's. */
const INTERPRETER_TARGETS = 64;

/** How much more an interpreter's loop is to be feared than its size tells. */
const INTERPRETER_FACTOR = 8;

/** Of the places, this part goes to loops near the entry: a main program's own, however small. */
const NEAR_SHARE = 0.5;

/** The largest function that is taken for one which does nothing but grow the memory, in bytes. */
const GROWER_BYTES = 256;

/** Options of {@linkcode selectHotFunctions}. */
export interface HotFunctionOptions {
  /** How many functions are imported. */
  imported: number;
  /** Indices of functions where a run begins, imported ones counted. */
  roots: Iterable<number>;
  /** How many can be chosen. */
  places: number;
}

/** Chooses functions that have loops; gives their indices, imported ones not counted. */
export function selectHotFunctions(code: Code, options: HotFunctionOptions): number[] {
  const { places } = options;
  const candidates: number[] = [];
  const allocators = findAllocators(code, options.imported);
  code.weight.forEach((weight, index) => {
    if (weight > 0 && !allocators.has(index)) candidates.push(index);
  });
  if (candidates.length <= places) return candidates;
  const calls = callsFromRoots(code, options);
  const near = candidates
    .filter((index) => calls[index] !== FAR)
    .sort((a, b) => calls[a]! - calls[b]! || code.weight[b]! - code.weight[a]!)
    .slice(0, Math.floor(places * NEAR_SHARE));
  const fear = (index: number): number =>
    code.weight[index]! * (code.targets[index]! < INTERPRETER_TARGETS ? 1 : INTERPRETER_FACTOR);
  const chosen = new Set(near);
  for (const index of candidates.sort((a, b) => fear(b) - fear(a))) {
    if (chosen.size === places) break;
    chosen.add(index);
  }
  return [...chosen];
}

/**
 * What calls a small function that grows the memory (C's sbrk), and is itself named in several places: a
 * malloc. Its loops walk lists of free memory; it is slow to optimize (8 ms for that of wasi-libc, a third
 * of a small job that is new to its executor), and where it matters it is called often.
 */
function findAllocators(code: Code, imported: number): Set<number> {
  const found = new Set<number>();
  const isGrower = (index: number): boolean =>
    code.grows[index] === 1 && code.weight[index] === 0 && code.size[index]! <= GROWER_BYTES;
  if (!code.grows.includes(1)) return found;
  const { to, count } = code.references;
  const named = new Uint32Array(code.count);
  for (let at = 0; at < count; at++) {
    const index = to[at]! - imported;
    if (index >= 0 && index < code.count) named[index]!++;
  }
  for (let index = 0; index < code.count; index++) {
    if (code.weight[index] === 0 || named[index]! < 2) continue;
    const callees = to.subarray(code.firstReference[index], code.firstReference[index + 1]);
    if (callees.some((callee) => isGrower(callee - imported))) found.add(index);
  }
  return found;
}

/** No root leads there by direct calls. */
const FAR = 0xffff_ffff;

/** How many calls lead from the nearest root to each function. */
function callsFromRoots(code: Code, { imported, roots }: HotFunctionOptions): Uint32Array {
  const calls = new Uint32Array(code.count).fill(FAR);
  const queue: number[] = [];
  const reach = (to: number, distance: number): void => {
    const index = to - imported;
    if (index < 0 || index >= code.count || calls[index] !== FAR) return;
    calls[index] = distance;
    queue.push(index);
  };
  for (const root of roots) reach(root, 0);
  for (let next = 0; next < queue.length; next++) {
    const index = queue[next]!;
    const last = code.firstReference[index + 1]!;
    for (let at = code.firstReference[index]!; at < last; at++) {
      reach(code.references.to[at]!, calls[index]! + 1);
    }
  }
  return calls;
}
