/**
 * The lines of a body, as they come.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";

/** The longest line of ours is an event with 64 KiB of output, in base64: more is none of ours. */
const MAX_LINE = 1024 * 1024;

/**
 * Yields lines that are not empty; an empty one is a sign of life.
 *
 * @throws {PlasmError} `protocol` on a line that is too long
 */
export async function* lines(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<string, void, void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const found = rest.split("\n");
    rest = found.pop() ?? "";
    yield* found.filter((line) => line !== "");
    if (rest.length > MAX_LINE) {
      throw new PlasmError("protocol", `Cannot read answer: a line is over ${MAX_LINE} characters`);
    }
  }
}
