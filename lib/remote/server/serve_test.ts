import { assertEquals } from "@std/assert";
import { countWrites, memoryPair } from "../../../tests/fixtures/memory_streams.ts";
import { FrameChannel } from "../wire/frame_channel.ts";
import type { HostEvent } from "./job_host.ts";
import { sendEvents } from "./serve.ts";

/** Resolves in the next turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve));
}

Deno.test("sendEvents() joins the events of a batch when they are smaller than a piece of output", async () => {
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
  const { stream, writes } = countWrites(pair.node);
  const [node, client] = [new FrameChannel(stream), new FrameChannel(pair.client)];
  async function* batches(): AsyncGenerator<HostEvent[]> {
    yield events.slice(0, 2);
    yield events.slice(2);
  }
  const { signal } = new AbortController();
  const sending = sendEvents(node, {
    events: batches(),
    signal,
    stallMs: 10_000,
    onLast: () => {},
  });
  const ids: number[] = [];
  while (ids.length < events.length) ids.push((await client.read(["event"])).id);
  await sending;
  assertEquals(ids, [1, 2, 3, 4, 5, 6]);
  // Two small events, one piece of output, the piece that exceeds the limit, the rest.
  assertEquals(writes.length, 4);
  assertEquals(writes.filter((bytes) => bytes >= 2 * 64 * 1024), []);
  await node.close();
  await client.close();
});

Deno.test("sendEvents() handles the failure of a queued write when it was stopped", async () => {
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
  async function* batches(): AsyncGenerator<HostEvent[]> {
    yield [
      { id: 1, at: 0, type: "stdout", offset: 0, data },
      { id: 2, at: 0, type: "stdout", offset: data.length, data: new Uint8Array(1) },
    ];
  }
  const { signal } = stopping;
  const options = { events: batches(), signal, stallMs: 30_000, onLast: () => {} };
  const sending = sendEvents(node, options);
  while (gates.length === 0) await nextTurn();
  stopping.abort();
  gates[0]!.resolve();
  await sending;
  // The second part of the event is written now and fails: an unhandled rejection would fail the test.
  while (gates.length === 1) await nextTurn();
  gates[1]!.reject(new Error("The connection was cut"));
  await nextTurn();
});

Deno.test("sendEvents() stops keep-alives when the last event is due", async () => {
  const { setInterval: set, clearInterval: clear } = globalThis;
  async function* batches(): AsyncGenerator<HostEvent[]> {
    yield [{ id: 1, at: 0, type: "started", attempt: 1 }];
    yield [{ id: 2, at: 0, type: "interrupted", rerun: false }];
  }
  const timers = new Set<unknown>();
  globalThis.setInterval = ((...options: Parameters<typeof set>) => {
    const timer = set(...options);
    timers.add(timer);
    return timer;
  }) as typeof set;
  globalThis.clearInterval = (timer) => {
    timers.delete(timer);
    clear(timer);
  };
  try {
    const pair = memoryPair();
    const timersAtWrite: number[] = [];
    const node = new FrameChannel({
      ...pair.node,
      write: (bytes) => {
        timersAtWrite.push(timers.size);
        return pair.node.write(bytes);
      },
    });
    const { signal } = new AbortController();
    await sendEvents(node, { events: batches(), signal, stallMs: 30_000, onLast: () => {} });
    assertEquals(timersAtWrite, [1, 0]);
  } finally {
    Object.assign(globalThis, { setInterval: set, clearInterval: clear });
  }
});
