import { assert, assertEquals } from "@std/assert";
import { concat } from "../util/bytes.ts";
import { EMPTY_HASH, sha256 } from "../core/hash.ts";
import { PipeConn, PipeFrame } from "../api/pipe_frames.ts";
import { type PipeInput, StdinSender } from "./pipe.ts";
import type { InputReader } from "../util/prefetch.ts";

/** Bytes without a repeating block. */
function pattern(length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(length).map((_, n) => n * 31 + (n >> 8));
}

/** Returns bytes in pieces of different lengths, and overwrites the buffer first: earlier pieces must have been sent. */
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

/** Connects a sender to a receiver of its frames. */
async function withSender(
  input: PipeInput | undefined,
  use: (sender: StdinSender, other: PipeConn) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  const path = `${dir}/s`;
  using listener = Deno.listen({ transport: "unix", path });
  const [one, two] = await Promise.all([
    Deno.connect({ transport: "unix", path }),
    listener.accept(),
  ]);
  const pipes = [new PipeConn(one), new PipeConn(two)] as const;
  const sender = new StdinSender(pipes[0], input);
  try {
    await use(sender, pipes[1]);
  } finally {
    sender.close();
    for (const pipe of pipes) pipe.close();
    await Deno.remove(dir, { recursive: true });
  }
}

/** Payloads of all Stdin frames until StdinEnd; undefined if the connection ends before. */
async function receiveAll(pipe: PipeConn): Promise<Uint8Array | undefined> {
  const parts: Uint8Array[] = [];
  while (true) {
    const header = await pipe.next();
    if (header === undefined) return undefined;
    if (header.kind === PipeFrame.StdinEnd) return concat(parts);
    assertEquals(header.kind, PipeFrame.Stdin);
    parts.push((await pipe.payload())!);
  }
}

const bytes = pattern(3_000_001);
const SOURCES: [what: string, create: () => PipeInput][] = [
  ["bytes", () => bytes],
  ["a stream", () => new Blob([bytes]).stream()],
  ["a reader that reuses its memory", () => readerOf(bytes)],
];

for (const [what, create] of SOURCES) {
  Deno.test(`StdinSender sends and hashes every byte of ${what}`, () =>
    withSender(create(), async (sender, other) => {
      sender.start();
      const received = await receiveAll(other);
      assertEquals(received?.length, bytes.length);
      assertEquals(await sha256(received!), await sha256(bytes));
      assertEquals(await sender.hash(), await sha256(bytes));
    }));
}

Deno.test("StdinSender sends only StdinEnd when the input is empty", async () => {
  for (const input of [undefined, new Uint8Array(), readerOf(new Uint8Array())]) {
    await withSender(input, async (sender, other) => {
      sender.start();
      assertEquals(await receiveAll(other), new Uint8Array());
      assertEquals(await sender.hash(), EMPTY_HASH);
    });
  }
});

Deno.test("StdinSender.stop() ends the input when its source is silent", async () => {
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
        await other.next();
        taken += (await other.payload())!.length;
      }
      sender.stop();
      assertEquals(await receiveAll(other), new Uint8Array());
      assertEquals(await sender.hash(), taken === 0 ? EMPTY_HASH : await sha256(first));
    });
  }
});

Deno.test("StdinSender stores the error of its source, and sends no StdinEnd", async () => {
  const fault = new Error("the disk is broken");
  const given = readerOf(pattern(10));
  const broken = {
    read: async (into: Uint8Array) => await given.read(into) ?? await Promise.reject(fault),
  };
  const stream = new ReadableStream<Uint8Array>({ pull: () => Promise.reject(fault) });
  for (const input of [broken, stream]) {
    await withSender(input, async (sender, other) => {
      sender.start();
      assertEquals(await receiveAll(other), undefined);
      assert(sender.fault === fault);
    });
  }
});
