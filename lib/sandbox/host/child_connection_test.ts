import { assert, assertEquals } from "@std/assert";
import { tempDir } from "../../../tests/fixtures/temp_dir.ts";
import { Executor } from "./executor.ts";
import { ChildListener, writeStdinFrames } from "./child_connection.ts";
import { command, sandboxJob } from "../../../tests/fixtures/sandbox_jobs.ts";
import type { SandboxEvent } from "../job_types.ts";
import { random } from "../../../tests/fixtures/random_source.ts";
import { HeadroomBuffer } from "../../util/framing.ts";
import { FrameKind, MAX_STDIN_BYTES } from "../ipc/protocol.ts";
import { readAllFrames } from "../../../tests/fixtures/frames.ts";

/** WAT of a program that copies stdin to stdout, in reads and writes of odd sizes. */
const CAT = `(loop $next
  (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 50001))
  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
  (i32.store (i32.const 4) (i32.load (i32.const 8)))
  (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 12)))
  (br_if $next (i32.load (i32.const 8))))`;

/** Chunks of sizes from zero to more than rings, sockets and frames hold. */
function pieces(): Uint8Array<ArrayBuffer>[] {
  const below = random(7);
  return Array.from({ length: 40 }, (_, n) => {
    const size = n === 20 ? 3_000_001 : below(n % 2 === 0 ? 100 : 300_000);
    return Uint8Array.from({ length: size }, () => below(256));
  });
}

async function passThrough(executor: Executor): Promise<void> {
  const sent = pieces();
  const job = sandboxJob(await command(CAT));
  const events = executor.run({ ...job, stdin: ReadableStream.from(sent) });
  const found: SandboxEvent[] = await Array.fromAsync(events);
  const output = found.flatMap((event) => event.type === "stdout" ? [event.data] : []);
  const bytes = (parts: Uint8Array[]) => new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
  const [expected, actual] = [await bytes(sent), await bytes(output)];
  assertEquals(actual.length, expected.length);
  assert(actual.every((byte, at) => byte === expected[at]));
}

Deno.test("Executor.run() passes input to output unchanged over pipes", async () => {
  await using executor = new Executor();
  await passThrough(executor);
  await passThrough(executor);
});

Deno.test("Executor.run() passes input to output unchanged over a socket", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  await using executor = new Executor({ socketDir: dir });
  await executor.ready();
  assertEquals([...Deno.readDirSync(dir)], []);
  await passThrough(executor);
  await passThrough(executor);
});

Deno.test("Executor uses pipes when the path of a socket would be too long", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const socketDir = `${dir}/${"x".repeat(100)}`;
  await using executor = new Executor({ socketDir });
  await passThrough(executor);
  assertEquals([...Deno.readDirSync(dir)], []);
});

Deno.test("Executor.kill() removes the socket when the process has not started", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const executor = new Executor({ socketDir: dir });
  await executor.kill();
  assertEquals([...Deno.readDirSync(dir)], []);
});

Deno.test("ChildListener.accept() accepts one connection and no further one", async () => {
  await using temp = await tempDir();
  const dir = temp.path;
  const listener = ChildListener.open(dir)!;
  const path = `${listener.dir}/s`;
  const accepting = listener.accept();
  using conn = await Deno.connect({ transport: "unix", path });
  using accepted = (await accepting)!;
  await conn.write(Uint8Array.of(7));
  const into = new Uint8Array(2);
  assertEquals({ count: await accepted.read(into), byte: into[0] }, { count: 1, byte: 7 });
  assertEquals(await Deno.connect({ transport: "unix", path }).catch(() => "refused"), "refused");
  assertEquals(await listener.accept(), undefined);
});

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
  assertEquals(await readAllFrames(writes), [
    { kind: FrameKind.Stdin, payload: Uint8Array.of(1, 2, 3, 4, 5) },
    { kind: FrameKind.Stdin, payload: Uint8Array.of(6) },
  ]);
});

Deno.test("writeStdinFrames() splits a chunk that is larger than a frame", async () => {
  const { write, writes } = recorder();
  const piece = Uint8Array.from({ length: MAX_STDIN_BYTES + 10 }, (_, n) => n * 13);
  await writeStdinFrames(ReadableStream.from([piece]), { write, signal: never });
  const frames = await readAllFrames(writes);
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
  const [frame, ...more] = await readAllFrames(writes);
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
  assertEquals((await readAllFrames(writes))[0]!.payload, Uint8Array.of(1, 2, 0, 0, 0));
});
