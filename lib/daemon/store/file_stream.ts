/**
 * A file as a stream that holds little of it.
 * @module
 */

/** Bytes of one read: fewer and larger ones cost less. */
const READ_BYTES = 256 * 1024;

/** Opens the file; it is closed at its end, by a cancel, or by the signal, which ends the stream. */
export async function openFileStream(
  path: string,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  let file: Deno.FsFile | undefined = await Deno.open(path);
  const close = (): void => {
    signal.removeEventListener("abort", close);
    file?.close();
    file = undefined;
  };
  signal.addEventListener("abort", close);
  if (signal.aborted) close();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const buffer = new Uint8Array(READ_BYTES);
      const count = await file?.read(buffer) ?? null;
      if (count !== null) return controller.enqueue(buffer.subarray(0, count));
      close();
      controller.close();
    },
    cancel: close,
  }, { highWaterMark: 0 });
}
