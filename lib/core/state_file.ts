/**
 * Small JSON files in the state directory: written whole or not at all, read with doubt.
 * @module
 */

/** Beyond this a file is not ours, whatever its name. */
const MAX_BYTES = 4 * 1024 * 1024;

/**
 * Replaces a file's content at once, mode 0600.
 *
 * @throws {Deno.errors.NotFound} and what else the file system says
 */
export async function writeStateFile(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(temporary, JSON.stringify(value), { createNew: true, mode: 0o600 });
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/**
 * Reads what was written; undefined where there is no such file.
 *
 * @throws {Error} where it cannot be read, is too large or is not JSON
 */
export async function readStateFile(path: string): Promise<unknown> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_BYTES) throw new RangeError(`${path} has ${size} bytes, at most ${MAX_BYTES}`);
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
