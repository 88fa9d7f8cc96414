/**
 * Gives the chunks of a bundle names that do not depend on the machine: the bundler's contain a
 * hash over the paths of its inputs, and so over where the package cache is.
 * @module
 */

const CHUNK = /[\w.]+-[0-9A-Z]{8}\.js/g;

/** Renames chunks in order of their first mention, starting from the entry; changes all mentions. */
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
  if (names.size !== files.size) {
    const lost = [...files.keys()].filter((name) => !names.has(name));
    throw new Error(`Nothing imports these parts of the bundle: ${lost.join(", ")}`);
  }
  return new Map(
    [...names].map(([name, renamed]) => [
      renamed,
      files.get(name)!.replace(CHUNK, (mention) => names.get(mention) ?? mention),
    ]),
  );
}
