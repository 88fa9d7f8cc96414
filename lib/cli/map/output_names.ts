/**
 * Checks before a map that no two items write one file.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { BoundedMap, escapeText } from "../../util/mod.ts";
import type { ItemJobs } from "./item_jobs.ts";
import type { ItemList } from "./item_list.ts";

/** Directories whose real path is remembered. */
const MAX_DIRECTORIES = 1024;

/** Initial room for hashes; it doubles. */
const INITIAL_NAMES = 1024;

/**
 * Compares the names that the items' outputs have on this machine. Holds eight bytes for each name.
 *
 * @throws {PlasmError} `conflict` if two are equal
 */
export async function checkOutputNames(list: ItemList, jobs: ItemJobs): Promise<void> {
  if (!jobs.mayShareOutputs) return;
  let hashes = new Float64Array(INITIAL_NAMES);
  let count = 0;
  const directories = new BoundedMap<string, string>(MAX_DIRECTORIES);
  for await (const { name } of namesOf(list, jobs)) {
    if (count === hashes.length) {
      const grown = new Float64Array(2 * count);
      grown.set(hashes);
      hashes = grown;
    }
    hashes[count++] = hashOf(fileOf(name, directories));
  }
  const sorted = hashes.subarray(0, count).sort();
  const repeated = new Set<number>();
  for (let at = 1; at < count; at++) {
    if (sorted[at] === sorted[at - 1]) repeated.add(sorted[at]!);
  }
  if (repeated.size === 0) return;
  const first = new Map<string, number>();
  for await (const { name, index } of namesOf(list, jobs)) {
    const file = fileOf(name, directories);
    if (!repeated.has(hashOf(file))) continue;
    const other = first.get(file);
    if (other === undefined) {
      first.set(file, index);
      continue;
    }
    throw new PlasmError(
      "conflict",
      `Cannot map: items ${other} and ${index} have one output: ${escapeText(name)}`,
      { hint: "Use {#}, the number of the item, in the names of outputs" },
    );
  }
}

async function* namesOf(
  list: ItemList,
  jobs: ItemJobs,
): AsyncGenerator<{ name: string; index: number }, void, void> {
  let index = 0;
  for await (const item of list.read()) {
    index++;
    if (item.error !== undefined) continue;
    for (const { host } of jobs.ownTargets(item, { index })) yield { name: host, index };
  }
}

/** The one path of a file: `a`, `./a` and a link to its directory lead to the same one. */
function fileOf(name: string, directories: BoundedMap<string, string>): string {
  const path = name.replace(/\/+$/, "");
  const end = path.lastIndexOf("/");
  const [directory, base] = end < 0
    ? [".", path]
    : [path.slice(0, end) || "/", path.slice(end + 1)];
  let real = directories.get(directory);
  if (real === undefined) {
    try {
      real = Deno.realPathSync(directory);
    } catch {
      real = directory; // missing: its items fail
    }
    directories.set(directory, real);
  }
  return `${real}/${base}`;
}

/** A hash of 53 bits: two multiplications with carries between the halves (cyrb53, public domain). */
function hashOf(text: string): number {
  let high = 0xdeadbeef;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 2654435761);
    low = Math.imul(low ^ code, 1597334677);
  }
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  return 4294967296 * (2097151 & low) + (high >>> 0);
}
