import { assertEquals } from "@std/assert";
import { ERROR_CODES } from "./error_codes.ts";

/**
 * Exit statuses that no error has: a failed check of doctor, a declared output that is missing, a job that verify --rerun finds not reproducible, and a
 * daemon stopped by a second signal.
 */
const OTHERS = [1, 66, 79, 143];

for (const file of ["README.md", "docs/operations.md"]) {
  Deno.test(`${file} lists every exit status of the command line`, async () => {
    const text = await Deno.readTextFile(new URL(`../../../${file}`, import.meta.url));
    const table = /\| status \| meaning +\| status \| meaning +\|\n(?:\|.*\n)+/.exec(text)?.[0] ??
      "";
    const listed = [...table.matchAll(/\| (\d+) +\|/g)].map(([, status]) => Number(status));
    const known = new Set([...Object.values(ERROR_CODES).map(({ exit }) => exit), ...OTHERS]);
    assertEquals(listed.sort((a, b) => a - b), [...known].sort((a, b) => a - b));
  });
}
