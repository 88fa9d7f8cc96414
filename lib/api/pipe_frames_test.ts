import { assert, assertEquals } from "@std/assert";
import { buildFrame, FrameWriter, type HeadroomBuffer } from "../util/framing.ts";
import { PipeConn, PipeFrame } from "./pipe_frames.ts";

/** A connection that returns these pieces, one per read. */
function connectionOf(pieces: readonly Uint8Array[]): Deno.Conn {
  const left = [...pieces];
  const read = (into: Uint8Array): Promise<number | null> => {
    const piece = left.shift();
    if (piece !== undefined) into.set(piece);
    return Promise.resolve(piece?.length ?? null);
  };
  return { read } as unknown as Deno.Conn;
}

const frame = (value: number, length: number): Uint8Array =>
  buildFrame(PipeFrame.Stdin, new Uint8Array(length).fill(value));

/** Reads the next frame with a payload, which arrives in one part. */
async function take(conn: PipeConn): Promise<HeadroomBuffer> {
  while ((await conn.next())!.length === 0);
  return (await conn.part())!;
}

Deno.test("PipeConn.part() does not overwrite bytes until they are released", async () => {
  const third = frame(3, 3000);
  const empty = frame(0, 0);
  for (
    const between of [
      [],
      [third.subarray(0, 1)],
      [third.subarray(0, 1), third.subarray(1, 2), third.subarray(2, 3), third.subarray(3, 4)],
      Array.from({ length: 9 }, () => empty),
    ]
  ) {
    const begun = between.includes(empty) ? 0 : between.length;
    const pieces = [frame(1, 1000), frame(2, 1000), ...between, third.subarray(begun)];
    const conn = new PipeConn(connectionOf(pieces));
    const starts = new FrameWriter();
    const parts: Uint8Array[] = [];
    for (let n = 0; n < 3; n++) {
      // Forwards the part as to an executor: with another header in its headroom.
      parts.push(starts.cut(await take(conn), { kind: 4 })[0]);
    }
    assertEquals(
      parts.map((part) =>
        part[0] === 4 && part.subarray(5).every((byte, _, all) => byte === all[0])
      ),
      [true, true, true],
    );
    assertEquals(parts.map((part) => [part.length, part[5]]), [[1005, 1], [1005, 2], [3005, 3]]);
  }
});

Deno.test("PipeConn.part() reuses a buffer when all its parts are released", async () => {
  const both = new Uint8Array([...frame(1, 10), ...frame(2, 10)]);
  const conn = new PipeConn(connectionOf([both, frame(3, 10), frame(4, 10), frame(5, 10)]));
  const [one, two] = [await take(conn), await take(conn)];
  assertEquals(one.buffer, two.buffer);
  one.release();
  one.release(); // has no effect
  const three = await take(conn);
  assert(three.buffer !== one.buffer);
  two.release();
  const four = await take(conn);
  assertEquals(four.buffer, one.buffer);
  assertEquals({ three: three[0], four: four[0] }, { three: 3, four: 4 });
  three.release();
  four.release();
  assertEquals([three.buffer, four.buffer].includes((await take(conn)).buffer), true);
});
