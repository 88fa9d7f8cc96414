/**
 * SHA256SUMS, as sha256sum(1) writes and checks them.
 * @module
 */

/** SHA-256 of bytes, in hex. */
export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/**
 * Writes `SHA256SUMS` into a directory, for those of the files, named by their path in it, that are
 * there. Gives its text.
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
