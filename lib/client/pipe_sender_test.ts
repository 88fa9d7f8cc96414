import { assert, assertEquals } from "@std/assert";
import { joinBytes } from "../util/bytes.ts";
import { EMPTY_HASH, sha256 } from "../core/hash.ts";
import { PipeConn, PipeFrame } from "../api/pipe_frames.ts";
import { type PipeInput, PipeSender } from "./pipe_sender.ts";
import type { InputReader } from "../util/prefetch.ts";

/** Bytes that are not the same anywhere. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, n) => n * 31 + (n >> 8));
}

/** Gives bytes in pieces of many lengths, and spoils the memory it is given: it is to have been sent. */
function readerOf(bytes: Uint8Array): InputReader {
  let at = 0;
  let reads = 0;
  return {
    read(into) {
      if (at === bytes.length) return Promise.resolve(null);
      into.fill(0xff);
      const length = Math.min(into.length, 1 + (reads++ * 7919) % 300_000);
      const part = bytes.subarray(at, at + length);
      into.set(part);
      at += part.length;
      return Promise.resolve(part.length);
    },
  };
}

/** Joins a sender of some input to who takes its frames. */
async function withSender(
  input: PipeInput | undefined,
  use: (sender: PipeSender, other: PipeConn) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  const path = `${dir}/s`;
  using listener = Deno.listen({ transport: "unix", path });
  const [one, two] = await Promise.all([
    Deno.connect({ transport: "unix", path }),
    listener.accept(),
  ]);
  const pipes = [new PipeConn(one), new PipeConn(two)] as const;
  const sender = new PipeSender(pipes[0], input);
  try {
    await use(sender, pipes[1]);
  } finally {
    sender.close();
    for (const pipe of pipes) pipe.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** All payloads of Stdin frames until StdinEnd; undefined where the connection ends before. */
async function takeAll(pipe: PipeConn): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  while (true) {
    const header = await pipe.next();
    if (header === undefined) return undefined;
    if (header.kind === PipeFrame.StdinEnd) return joinBytes(parts);
    assertEquals(header.kind, PipeFrame.Stdin);
    parts.push((await pipe.payload(header))!);
  }
}

const bytes = pattern(3_000_001);
const SOURCES: [what: string, create: () => PipeInput][] = [
  ["bytes", () => bytes],
  ["a stream", () => new Blob([bytes]).stream()],
  ["a reader whose memory is used again", () => readerOf(bytes)],
];

for (const [what, create] of SOURCES) {
  Deno.test(`PipeSender sends and hashes all of ${what}`, () =>
    withSender(create(), async (sender, other) => {
      sender.start();
      const taken = await takeAll(other);
      assertEquals(taken?.length, bytes.length);
      assertEquals(await sha256(taken!), await sha256(bytes));
      assertEquals(await sender.hash(), await sha256(bytes));
    }));
}

Deno.test("PipeSender sends the end alone where there is nothing", async () => {
  for (const input of [undefined, new Uint8Array(), readerOf(new Uint8Array())]) {
    await withSender(input, async (sender, other) => {
      sender.start();
      assertEquals(await takeAll(other), new Uint8Array());
      assertEquals(await sender.hash(), EMPTY_HASH);
    });
  }
});

Deno.test("PipeSender.stop() leaves a source that gives nothing more", async () => {
  const first = pattern(10);
  const given = readerOf(first);
  const silent = {
    read: async (into: Uint8Array) => await given.read(into) ?? await new Promise<null>(() => {}),
  };
  for (const input of [silent, new ReadableStream<Uint8Array>()]) {
    await withSender(input, async (sender, other) => {
      sender.start();
      let taken = 0;
      while (input === silent && taken < first.length) {
        taken += (await other.payload((await other.next())!))!.length;
      }
      sender.stop();
      assertEquals(await takeAll(other), new Uint8Array());
      assertEquals(await sender.hash(), taken === 0 ? EMPTY_HASH : await sha256(first));
    });
  }
});

Deno.test("PipeSender keeps what its source throws, and sends no end", async () => {
  const fault = new Error("the disk is broken");
  const given = readerOf(pattern(10));
  const broken = {
    read: async (into: Uint8Array) => await given.read(into) ?? await Promise.reject(fault),
  };
  const stream = new ReadableStream<Uint8Array>({ pull: () => Promise.reject(fault) });
  for (const input of [broken, stream]) {
    await withSender(input, async (sender, other) => {
      sender.start();
      assertEquals(await takeAll(other), undefined);
      assert(sender.fault === fault);
    });
  }
});
