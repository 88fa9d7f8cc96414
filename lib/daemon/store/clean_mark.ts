/**
 * A mark beside the database that its last user closed it: then it needs no look at every page, which
 * takes seconds for a store of gigabytes.
 * @module
 */

/** What a mark says of the file: whoever changes it, or cuts it, changes one of these. */
function describe(path: string): string {
  const { size, mtime } = Deno.statSync(path);
  return `${size} ${mtime?.getTime()}`;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Marks a database as closed. One that cannot be marked is looked through at the next start. */
export function markClean(path: string): void {
  try {
    Deno.writeTextFileSync(`${path}.clean`, describe(path), { mode: 0o600 });
  } catch { /* as said */ }
}

/**
 * Takes the mark away; tells whether the database is as it was when it was marked. A log beside it was
 * written by someone who has not closed it.
 */
export function takeCleanMark(path: string): boolean {
  try {
    const mark = Deno.readTextFileSync(`${path}.clean`);
    Deno.removeSync(`${path}.clean`);
    return mark === describe(path) && !exists(`${path}-wal`);
  } catch {
    return false;
  }
}
