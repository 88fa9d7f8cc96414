/**
 * Flushes files and directories to the disk.
 *
 * @module
 */

/**
 * Flushes a file's content or a directory's entries to the disk (fsync).
 *
 * @throws {Deno.errors.NotFound} If the path does not exist, or another error of the file system.
 */
export async function syncFile(path: string, options: Deno.OpenOptions = {}): Promise<void> {
  const file = await Deno.open(path, { read: true, ...options });
  // Not `using`: the compiled program drops it, see scripts/compile/using_test.ts.
  try {
    await file.sync();
  } finally {
    file.close();
  }
}
