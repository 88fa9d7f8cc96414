import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { countWrites, memoryPair } from "../../../tests/fixtures/memory_streams.ts";
import { decodeMessage, encodeMessage } from "../../core/cbor/cbor_frame.ts";
import { PlasmError } from "../../core/errors/errors.ts";
import { createJobId } from "../../core/ids.ts";
import {
  ByteStreamReader,
  decodeChunk,
  Disconnected,
  FrameChannel,
  Silent,
} from "./frame_channel.ts";
import { checkMessage } from "./messages.ts";

const SEED = 20261122;

Deno.test("ByteStreamReader returns the requested lengths when the bytes arrive in any pieces", async () => {
  const { client, node } = memoryPair();
  const bytes = Uint8Array.from({ length: 50_000 }, (_, at) => at * 7);
  const writing = (async () => {
    for (let at = 0, step = 1; at < bytes.length; at += step, step = step * 3 % 9973) {
      await client.write(bytes.subarray(at, at + step));
    }
    await client.close();
  })();
  const reader = new ByteStreamReader(node);
  let at = 0;
  for (const length of [1, 2, 3, 1000, 20_000, 17, 20_000]) {
    assertEquals((await reader.take(length)).toHex(), bytes.subarray(at, at += length).toHex());
    assertEquals(await reader.byte(), bytes[at++]);
  }
  await writing;
  await assertRejects(() => reader.take(bytes.length), Disconnected, "inside a message");
  assertEquals(await reader.byte(), undefined);
  assertEquals(reader.received, bytes.length);
});

Deno.test("FrameChannel.write() joins small messages in order when they wait, but not chunks", async () => {
  const pair = memoryPair();
  const { stream, writes } = countWrites(pair.client);
  const [client, node] = [new FrameChannel(stream), new FrameChannel(pair.node)];
  const hash = `sha256:${"0".repeat(64)}`;
  const chunk = { type: "chunk", hash, offset: 0, data: new Uint8Array(9), checksum: 1 } as const;
  await Promise.all([
    client.write({ type: "alive" }),
    client.write({ type: "taken", job_id: createJobId() }),
    client.write(chunk),
    client.write({ type: "alive" }),
    client.write({ type: "alive" }),
  ]);
  assertEquals(writes.length, 3);
  const order: string[] = [];
  for (let n = 0; n < 5; n++) {
    order.push((await node.read(["alive", "taken", "chunk"])).type);
  }
  assertEquals(order, ["alive", "taken", "chunk", "alive", "alive"]);
  await client.close();
  await node.close();
});

Deno.test("FrameChannel.read() throws when a length is not a varint in its shortest form", async () => {
  // Zero; two bytes for 1; four bytes.
  for (const hex of ["00", "8100", "81818101"]) {
    const { client, node } = memoryPair();
    await client.write(Uint8Array.fromHex(hex));
    const error = await assertRejects(
      () => new FrameChannel(node).read(["alive"]),
      PlasmError,
      "not a short varint",
    );
    assertEquals(error.code, "protocol");
    client.abort(new Error("Test ended"));
  }
});

Deno.test("FrameChannel.read() throws when the peer disconnects within a length", async () => {
  const { client, node } = memoryPair();
  await client.write(Uint8Array.fromHex("81"));
  await client.close();
  await assertRejects(
    () => new FrameChannel(node).read(["alive"]),
    Disconnected,
    "inside a message",
  );
});

function chunkOf(length: number): Record<string, unknown> {
  return {
    type: "chunk",
    hash: `sha256:${"0a".repeat(32)}`,
    offset: 70_000,
    data: crypto.getRandomValues(new Uint8Array(length)),
    checksum: 4_000_000_000,
  };
}

/** Encoding of the decoded value, or "rejected". */
function outcome(decode: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    return encodeMessage(decode(bytes)).toHex();
  } catch (error) {
    if (error instanceof PlasmError && error.code === "protocol") return "rejected";
    throw error;
  }
}

Deno.test("decodeChunk() agrees with decodeMessage() and returns a view of long data", () => {
  for (const length of [1, 23, 24, 255, 256, 257, 60_000]) {
    const chunk = chunkOf(length);
    const bytes = encodeMessage(chunk);
    const decoded = decodeChunk(bytes) as { data: Uint8Array };
    assertEquals(outcome(() => decoded, bytes), outcome(decodeMessage, bytes));
    assertEquals(decoded.data.buffer === bytes.buffer, length >= 256);
  }
  const large = encodeMessage(chunkOf(65_536));
  assertEquals((decodeChunk(large) as { data: Uint8Array }).data.buffer, large.buffer);
});

Deno.test("decodeChunk() agrees with decodeMessage() when a byte is changed", () => {
  const valid = encodeMessage(chunkOf(300));
  fc.assert(
    fc.property(
      // Bytes around the data, and a few of it.
      fc.oneof(fc.nat(40), fc.integer({ min: 300, max: valid.length - 1 })),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(3),
      (place, change, cut) => {
        const bytes = valid.slice(0, valid.length - cut);
        bytes[Math.min(place, bytes.length - 1)]! ^= change;
        // The field checks find fields that are repeated or misplaced.
        const [chunk, message] = [decodeChunk, decodeMessage].map((decode) =>
          outcome((bytes) => checkMessage(decode(bytes)), bytes)
        );
        assertEquals(chunk, message);
      },
    ),
    { seed: SEED, numRuns: 5000 },
  );
});

Deno.test("decodeChunk() throws when a length is not in its shortest form", () => {
  const long = Uint8Array.from([0xa5, 0x64, ...new TextEncoder().encode("data"), 0x59, 0, 1, 7]);
  const rest = encodeMessage({ hash: "", type: "chunk", offset: 0, checksum: 0 }).subarray(1);
  assertThrows(() => decodeChunk(Uint8Array.from([...long, ...rest])), PlasmError);
});

/** Replaces the clock and timers of `setTimeout` until disposal. */
class FakeClock implements Disposable {
  readonly #real = { setTimeout: globalThis.setTimeout, now: performance.now };
  #now = 0;
  #timer: { act: () => void; ms: number } | undefined;

  constructor() {
    const fake = (act: () => void, ms: number): number => {
      this.#timer = { act, ms };
      return 0;
    };
    globalThis.setTimeout = fake as unknown as typeof setTimeout;
    performance.now = () => this.#now;
  }

  /** Delay of the pending timer, in milliseconds. */
  get delay(): number | undefined {
    return this.#timer?.ms;
  }

  /** Sets the time and lets pending promises settle. */
  async set(now: number, { fires = false } = {}): Promise<void> {
    this.#now = now;
    if (fires) this.#timer?.act();
    // Deno 2.7.11 accepts no other receiver.
    await new Promise((resolve) => this.#real.setTimeout.call(globalThis, resolve));
  }

  [Symbol.dispose](): void {
    globalThis.setTimeout = this.#real.setTimeout;
    performance.now = this.#real.now;
  }
}

Deno.test("FrameChannel.unlessSilent() rejects when no byte arrives, however long a message takes", async () => {
  const pair = memoryPair();
  using clock = new FakeClock();
  const channel = new FrameChannel(pair.client);
  const waiting = channel.unlessSilent(channel.read(["alive"]), { ms: 100 });
  waiting.catch(() => {});
  await clock.set(90);
  await pair.node.write(Uint8Array.of(12));
  await clock.set(90);
  await clock.set(100, { fires: true });
  assertEquals(clock.delay, 90);
  // The machine was suspended: what has arrived meanwhile is read first.
  await clock.set(5000, { fires: true });
  assertEquals(clock.delay, 500);
  await clock.set(5500, { fires: true });
  await assertRejects(() => waiting, Silent, "Nothing was received for 0.1 s");
  channel.abort(new Error("Test ended"));
});
