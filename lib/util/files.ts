/**
 * Brings what has been written to the disk.
 * @module
 */

/**
 * Waits until a file's content, or a directory's names, are on the disk.
 *
 * @throws {Deno.errors.NotFound} and what else the file system says
 */
export async function syncFile(path: string, options: Deno.OpenOptions = {}): Promise<void> {
  const file = await Deno.open(path, { read: true, ...options });
  // Not a `using`, which the compiled program would lose: see scripts/compile/using_test.ts.
  try {
    await file.sync();
  } finally {
    file.close();
  }
}
