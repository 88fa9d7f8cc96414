/**
 * Writes SHA256SUMS in the format of sha256sum(1).
 * @module
 */

/** Computes the SHA-256 of bytes, in hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/**
 * Writes `SHA256SUMS` to a directory. Includes those of the files (paths relative to the directory) that exist.
 * Returns the text.
 */
export async function writeChecksums(directory: URL, files: readonly string[]): Promise<string> {
  let text = "";
  for (const name of [...files].sort()) {
    try {
      text += `${await sha256(await Deno.readFile(new URL(name, directory)))}  ${name}\n`;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  await Deno.writeTextFile(new URL("SHA256SUMS", directory), text);
  return text;
}
