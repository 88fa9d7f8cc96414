/**
 * Splits a stream of bytes into lines of text.
 *
 * @module
 */

/** Options of {@linkcode lines}. */
export interface LinesOptions {
  /** Longest line, in UTF-16 code units. */
  maxLength: number;
  /** Creates the error for a longer line. */
  tooLong: () => Error;
}

/**
 * Yields the lines of a UTF-8 body as they arrive, without the empty ones.
 *
 * @throws What `tooLong` creates.
 */
export async function* lines(
  body: ReadableStream<Uint8Array> | null,
  { maxLength, tooLong }: LinesOptions,
): AsyncGenerator<string, void, void> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const found = rest.split("\n");
    rest = found.pop() ?? "";
    yield* found.filter((line) => line !== "");
    if (rest.length > maxLength) throw tooLong();
  }
}
