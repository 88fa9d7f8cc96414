import { assert, assertEquals } from "@std/assert";
import { RoomyBytes } from "../../util/framing.ts";
import { MAX_STDIN_BYTES } from "../ipc/protocol.ts";
import { type Frame, FrameKind, readFrames } from "../ipc/frames.ts";
import { pumpStdin } from "./stdin_pump.ts";

/** Bytes with room before them, and so many more that follow. */
function roomy(bytes: number[], more = 0): RoomyBytes {
  const memory = new Uint8Array(8 + bytes.length);
  memory.set(bytes, 8);
  const view = new RoomyBytes(memory.buffer, 8);
  view.more = more;
  return view;
}

/** Takes what is written, as it is then. */
function taker(): { write: (bytes: Uint8Array) => Promise<void>; writes: Uint8Array[] } {
  const writes: Uint8Array[] = [];
  const write = (bytes: Uint8Array): Promise<void> => {
    writes.push(bytes.slice());
    return Promise.resolve();
  };
  return { write, writes };
}

async function framesOf(writes: Uint8Array[]): Promise<Frame[]> {
  const source = ReadableStream.from(writes);
  return await Array.fromAsync(readFrames(source, { maxBytes: () => MAX_STDIN_BYTES }));
}

const never = new AbortController().signal;

Deno.test("pumpStdin() sends parts of one frame as one", async () => {
  const { write, writes } = taker();
  const parts = [roomy([1, 2], 3), roomy([3, 4], 1), roomy([5]), roomy([6])];
  await pumpStdin(ReadableStream.from(parts), { write, signal: never });
  assertEquals(writes.map((bytes) => bytes.length), [7, 2, 1, 6]);
  assertEquals(await framesOf(writes), [
    { kind: FrameKind.Stdin, payload: Uint8Array.of(1, 2, 3, 4, 5) },
    { kind: FrameKind.Stdin, payload: Uint8Array.of(6) },
  ]);
});

Deno.test("pumpStdin() cuts what is too large for a frame", async () => {
  const { write, writes } = taker();
  const piece = Uint8Array.from({ length: MAX_STDIN_BYTES + 10 }, (_, n) => n * 13);
  await pumpStdin(ReadableStream.from([piece]), { write, signal: never });
  const frames = await framesOf(writes);
  assertEquals(frames.map(({ payload }) => payload.length), [MAX_STDIN_BYTES, 10]);
  assertEquals(frames[0]!.payload, piece.subarray(0, MAX_STDIN_BYTES));
  assertEquals(frames[1]!.payload, piece.subarray(MAX_STDIN_BYTES));
});

Deno.test("pumpStdin() ends a frame that was begun, once the job is over", async () => {
  const { write, writes } = taker();
  const over = new AbortController();
  const stdin = new ReadableStream<Uint8Array>({
    start: (to) => to.enqueue(roomy([1, 2], 100_000)),
  });
  const written = Promise.withResolvers<void>();
  const pumping = pumpStdin(stdin, {
    write: async (bytes) => {
      await write(bytes);
      written.resolve();
    },
    signal: over.signal,
  });
  await written.promise;
  over.abort("over");
  await pumping;
  const [frame, ...more] = await framesOf(writes);
  assertEquals(frame!.payload.length, 100_002);
  assertEquals([...frame!.payload.subarray(0, 4)], [1, 2, 0, 0]);
  assertEquals(more, []);
});

Deno.test("pumpStdin() gives a job that runs nothing that its source has not given", async () => {
  const { write, writes } = taker();
  const over = new AbortController();
  let isOver = false;
  const pumping = pumpStdin(ReadableStream.from([roomy([1, 2], 3)]), {
    write: async (bytes) => {
      assert(writes.length === 0 || isOver, "The frame was filled while the job ran");
      await write(bytes);
    },
    signal: over.signal,
  });
  // All that could happen without the abort happens before the next turn of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(writes.map((bytes) => bytes.length), [7]);
  isOver = true;
  over.abort("over");
  await pumping;
  assertEquals((await framesOf(writes))[0]!.payload, Uint8Array.of(1, 2, 0, 0, 0));
});
