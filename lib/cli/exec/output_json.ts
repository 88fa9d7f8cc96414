/**
 * The output of a job as JSON can say it.
 * @module
 */

/** Collects both streams; see {@linkcode CollectedOutput.toJSON}. */
export class CollectedOutput {
  readonly #parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };

  /** Adds a piece of a stream. */
  add(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.#parts[stream].push(data.slice());
  }

  /** Each stream as text where it is UTF-8, else in base64, with a field that says which. */
  toJSON(): Record<string, string> {
    const { stdout, stderr } = this.#parts;
    return { ...encode("stdout", stdout), ...encode("stderr", stderr) };
  }
}

function encode(name: string, parts: Uint8Array[]): Record<string, string> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  try {
    // A byte order mark is part of the output: without ignoreBOM it would be dropped.
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { [name]: text, [`${name}_encoding`]: "utf-8" };
  } catch {
    return { [name]: bytes.toBase64(), [`${name}_encoding`]: "base64" };
  }
}
