import { assertEquals } from "@std/assert";
import { createJobId } from "../../core/ids.ts";
import type { ByteStream } from "./byte_stream.ts";
import { FrameChannel } from "./frame_channel.ts";
import type { HostEvent } from "../server/job_host.ts";
import { sendEvents } from "../server/send_events.ts";
import { memoryPair } from "../../../tests/fixtures/memory_streams.ts";

/** A side that counts what is written. */
function counted(duplex: ByteStream): { duplex: ByteStream; writes: number[] } {
  const writes: number[] = [];
  const write = (bytes: Uint8Array): Promise<void> => {
    writes.push(bytes.length);
    return duplex.write(bytes);
  };
  return { duplex: { ...duplex, write }, writes };
}

Deno.test("FrameChannel joins small messages that wait, in their order, and chunks with none", async () => {
  const pair = memoryPair();
  const { duplex, writes } = counted(pair.client);
  const [client, node] = [new FrameChannel(duplex), new FrameChannel(pair.node)];
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

Deno.test("sendEvents() writes together what is there together, but no more than a piece of output", async () => {
  const piece = new Uint8Array(40 * 1024);
  const events: HostEvent[] = [
    { id: 1, at: 0, type: "queued", position: 0 },
    { id: 2, at: 0, type: "started", attempt: 1 },
    ...[0, 1, 2].map((n) => ({
      id: 3 + n,
      at: 0,
      type: "stdout" as const,
      offset: n * piece.length,
      data: piece,
    })),
    { id: 6, at: 0, type: "interrupted", rerun: true },
  ];
  const pair = memoryPair();
  const { duplex, writes } = counted(pair.node);
  const [node, client] = [new FrameChannel(duplex), new FrameChannel(pair.client)];
  async function* told(): AsyncGenerator<HostEvent[]> {
    yield events.slice(0, 2);
    yield events.slice(2);
  }
  const { signal } = new AbortController();
  const sending = sendEvents(node, { events: told(), signal, stallMs: 10_000, onOver: () => {} });
  const ids: number[] = [];
  while (ids.length < events.length) ids.push((await client.read(["event"])).id);
  await sending;
  assertEquals(ids, [1, 2, 3, 4, 5, 6]);
  // Two small ones; a piece; what makes it more than enough; the rest.
  assertEquals([writes.length, writes.every((bytes) => bytes < 2 * 64 * 1024)], [4, true]);
  await node.close();
  await client.close();
});

Deno.test("sendEvents() that is told to stop leaves no failure of a write to nobody", async () => {
  const pair = memoryPair();
  const gates: PromiseWithResolvers<void>[] = [];
  const node = new FrameChannel({
    ...pair.node,
    write: () => {
      gates.push(Promise.withResolvers());
      return gates.at(-1)!.promise;
    },
  });
  const stopping = new AbortController();
  const data = new Uint8Array(70_000);
  async function* told(): AsyncGenerator<HostEvent[]> {
    yield [
      { id: 1, at: 0, type: "stdout", offset: 0, data },
      { id: 2, at: 0, type: "stdout", offset: data.length, data: new Uint8Array(1) },
    ];
  }
  const { signal } = stopping;
  const options = { events: told(), signal, stallMs: 30_000, onOver: () => {} };
  const sending = sendEvents(node, options);
  while (gates.length === 0) await new Promise((resolve) => setTimeout(resolve));
  stopping.abort();
  gates[0]!.resolve();
  await sending;
  // The rest of the first event is written now, and fails: that is unhandled, or it is not.
  while (gates.length === 1) await new Promise((resolve) => setTimeout(resolve));
  gates[1]!.reject(new Error("The line was cut"));
  await new Promise((resolve) => setTimeout(resolve));
});

Deno.test("sendEvents() gives no sign of life once the last event is due", async () => {
  const { setInterval: set, clearInterval: clear } = globalThis;
  async function* told(): AsyncGenerator<HostEvent[]> {
    yield [{ id: 1, at: 0, type: "started", attempt: 1 }];
    yield [{ id: 2, at: 0, type: "interrupted", rerun: false }];
  }
  const running = new Set<unknown>();
  globalThis.setInterval = ((...given: Parameters<typeof set>) => {
    const timer = set(...given);
    running.add(timer);
    return timer;
  }) as typeof set;
  globalThis.clearInterval = (timer) => {
    running.delete(timer);
    clear(timer);
  };
  try {
    const pair = memoryPair();
    const seen: number[] = [];
    const node = new FrameChannel({
      ...pair.node,
      write: (bytes) => {
        seen.push(running.size);
        return pair.node.write(bytes);
      },
    });
    const { signal } = new AbortController();
    await sendEvents(node, { events: told(), signal, stallMs: 30_000, onOver: () => {} });
    assertEquals(seen, [1, 0]);
  } finally {
    Object.assign(globalThis, { setInterval: set, clearInterval: clear });
  }
});
