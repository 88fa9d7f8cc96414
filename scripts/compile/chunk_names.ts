/**
 * Renames the chunks of a bundle deterministically: the bundler's names contain a hash of input paths, which depend
 * on the location of the package cache.
 * @module
 */

const CHUNK = /[\w.]+-[0-9A-Z]{8}\.js/g;

/**
 * Renames chunks in order of first reference from the entry point and updates all references. A chunk that no file
 * names is left out: the bundler has removed the function that imports it.
 */
export function renameChunks(
  files: ReadonlyMap<string, string>,
  entry: string,
): Map<string, string> {
  const names = new Map([[entry, entry]]);
  for (const name of names.keys()) {
    for (const [mention] of files.get(name)!.matchAll(CHUNK)) {
      if (files.has(mention) && !names.has(mention)) names.set(mention, `part_${names.size}.js`);
    }
  }
  const lost = [...files.keys()].filter((name) =>
    !names.has(name) && [...names.keys()].some((file) => files.get(file)!.includes(name))
  );
  if (lost.length > 0) throw new Error(`Chunks that are not renamed: ${lost.join(", ")}`);
  return new Map(
    [...names].map(([name, renamed]) => [
      renamed,
      files.get(name)!.replace(CHUNK, (mention) => names.get(mention) ?? mention),
    ]),
  );
}
