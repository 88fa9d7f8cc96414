import { assert, assertEquals } from "@std/assert";
import { HeadroomBuffer } from "../../util/framing.ts";
import { FrameKind, type IpcFrame, MAX_STDIN_BYTES, readIpcFrames } from "../ipc/protocol.ts";
import { writeStdinFrames } from "./job_writer.ts";

/** Bytes with headroom, whose source announces `more` bytes. */
function withHeadroom(bytes: number[], more = 0): HeadroomBuffer {
  const memory = new Uint8Array(8 + bytes.length);
  memory.set(bytes, 8);
  const view = new HeadroomBuffer(memory.buffer, 8);
  view.more = more;
  return view;
}

/** Records a copy of each write. */
function recorder(): { write: (bytes: Uint8Array) => Promise<void>; writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<void> => {
    writes.push(bytes.slice());
    return Promise.resolve();
  };
  return { write, writes };
}

async function framesOf(writes: Uint8Array[]): Promise<IpcFrame[]> {
  const source = ReadableStream.from(writes);
  return await Array.fromAsync(readIpcFrames(source, { maxBytes: () => MAX_STDIN_BYTES }));
}

const never = new AbortController().signal;

Deno.test("writeStdinFrames() writes chunks as one frame when their source has announced them", async () => {
  const { write, writes } = recorder();
  const parts = [
    withHeadroom([1, 2], 3),
    withHeadroom([3, 4], 1),
    withHeadroom([5]),
    withHeadroom([6]),
  ];
  await writeStdinFrames(ReadableStream.from(parts), { write, signal: never });
  assertEquals(writes.map((bytes) => bytes.length), [7, 2, 1, 6]);
  assertEquals(await framesOf(writes), [
    { kind: FrameKind.Stdin, payload: Uint8Array.of(1, 2, 3, 4, 5) },
    { kind: FrameKind.Stdin, payload: Uint8Array.of(6) },
  ]);
});

Deno.test("writeStdinFrames() splits a chunk that is larger than a frame", async () => {
  const { write, writes } = recorder();
  const piece = Uint8Array.from({ length: MAX_STDIN_BYTES + 10 }, (_, n) => n * 13);
  await writeStdinFrames(ReadableStream.from([piece]), { write, signal: never });
  const frames = await framesOf(writes);
  assertEquals(frames.map(({ payload }) => payload.length), [MAX_STDIN_BYTES, 10]);
  assertEquals(frames[0]!.payload, piece.subarray(0, MAX_STDIN_BYTES));
  assertEquals(frames[1]!.payload, piece.subarray(MAX_STDIN_BYTES));
});

Deno.test("writeStdinFrames() completes a frame when the job has ended", async () => {
  const { write, writes } = recorder();
  const ended = new AbortController();
  const stdin = new ReadableStream<Uint8Array>({
    start: (to) => to.enqueue(withHeadroom([1, 2], 100_000)),
  });
  const written = Promise.withResolvers<void>();
  const writing = writeStdinFrames(stdin, {
    write: async (bytes) => {
      await write(bytes);
      written.resolve();
    },
    signal: ended.signal,
  });
  await written.promise;
  ended.abort("ended");
  await writing;
  const [frame, ...more] = await framesOf(writes);
  assertEquals(frame!.payload.length, 100_002);
  assertEquals([...frame!.payload.subarray(0, 4)], [1, 2, 0, 0]);
  assertEquals(more, []);
});

Deno.test("writeStdinFrames() writes no filler while the job runs", async () => {
  const { write, writes } = recorder();
  const ended = new AbortController();
  let hasEnded = false;
  const writing = writeStdinFrames(ReadableStream.from([withHeadroom([1, 2], 3)]), {
    write: async (bytes) => {
      assert(writes.length === 0 || hasEnded, "the frame was completed while the job ran");
      await write(bytes);
    },
    signal: ended.signal,
  });
  // Everything that happens without the abort happens before the next turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(writes.map((bytes) => bytes.length), [7]);
  hasEnded = true;
  ended.abort("ended");
  await writing;
  assertEquals((await framesOf(writes))[0]!.payload, Uint8Array.of(1, 2, 0, 0, 0));
});
