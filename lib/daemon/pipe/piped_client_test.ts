import { PipeConn, PipeFrame } from "../../api/pipe_frames.ts";
import { FrameKind } from "../../sandbox/ipc/protocol.ts";
import { buildFrame } from "../../util/framing.ts";
import { readAllFrames } from "../../../tests/fixtures/frames.ts";
import { writeStdinFrames } from "../../sandbox/host/child_connection.ts";
import { PipedRun } from "./piped_client.ts";
import { Hasher } from "../../core/hash.ts";
import { assertEquals } from "@std/assert";

const OPTIONS = { maxBytes: 2 ** 30, maxMs: 60_000 };

/** A client that sends these pieces, one a read, and stays. */
function clientOf(pieces: readonly Uint8Array[]): Deno.Conn {
  const left = [...pieces];
  const closed = Promise.withResolvers<null>();
  return {
    read(into: Uint8Array): Promise<number | null> {
      const piece = left.shift();
      if (piece === undefined) return closed.promise;
      into.set(piece);
      return Promise.resolve(piece.length);
    },
    write: (bytes: Uint8Array) => Promise.resolve(bytes.length),
    close: () => closed.resolve(null),
  } as unknown as Deno.Conn;
}

const stdin = (value: number, length: number): Uint8Array =>
  buildFrame(PipeFrame.Stdin, new Uint8Array(length).fill(value));

/** An input whose parts come in as many reads as its sender likes. */
function hostileInput(): Uint8Array[] {
  const third = stdin(9, 3000);
  return [
    stdin(1, 1000),
    stdin(2, 1000),
    third.subarray(0, 1),
    third.subarray(1),
    ...Array.from({ length: 5 }, () => stdin(0, 0)),
    ...Array.from({ length: 40 }, (_, n) => stdin(n, 500 + n)),
    buildFrame(PipeFrame.StdinEnd),
  ];
}

/** Sends what a run's client sends to an executor that takes nothing until it is let. */
function sendHeld(run: PipedRun): {
  sent: Promise<Uint8Array[]>;
  held: Promise<void>;
  letGo: () => void;
} {
  const gate = Promise.withResolvers<void>();
  const held = Promise.withResolvers<void>();
  const writes: Uint8Array[] = [];
  const write = async (bytes: Uint8Array): Promise<void> => {
    held.resolve();
    await gate.promise;
    writes.push(bytes.slice());
  };
  const { signal } = new AbortController();
  const sent = writeStdinFrames(run.stdin.stream, { write, signal }).then(() => writes);
  return { sent, held: held.promise, letGo: gate.resolve };
}

async function payloadsOf(writes: Uint8Array[]): Promise<Uint8Array[]> {
  const frames = await readAllFrames(writes);
  for (const { kind } of frames) assertEquals(kind, FrameKind.Stdin);
  return frames.map(({ payload }) => payload);
}

async function hashOf(parts: readonly Uint8Array[]): Promise<string> {
  const hasher = new Hasher();
  for (const part of parts) await hasher.update(part);
  return await hasher.digest();
}

/** Lets everything go on that can. */
async function nextTurn(): Promise<void> {
  for (let n = 0; n < 20; n++) await new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("PipedRun.stdin sends the bytes that it hashes when the executor reads nothing", async () => {
  const run = new PipedRun(new PipeConn(clientOf(hostileInput())), OPTIONS);
  try {
    const { sent, held, letGo } = sendHeld(run);
    await held;
    await nextTurn();
    letGo();
    const given = await payloadsOf(await sent);
    assertEquals(await run.stdin.digest(), await hashOf(given));
    assertEquals(given.map((part) => part[0]).slice(0, 4), [1, 2, 9, 0]);
  } finally {
    run.close();
  }
});

Deno.test("PipedRun.stdin finishes the current write when the rest is only hashed", async () => {
  const input = hostileInput();
  const run = new PipedRun(new PipeConn(clientOf(input)), OPTIONS);
  try {
    const { sent, held, letGo } = sendHeld(run);
    await held;
    // The job has ended: what is left is hashed, whether or not it can still be sent.
    const all = input.map((frame) => frame.subarray(5));
    all[2] = new Uint8Array();
    all[3] = new Uint8Array(3000).fill(9);
    assertEquals(await run.stdin.digest(), await hashOf(all));
    letGo();
    const [first] = await payloadsOf(await sent);
    assertEquals(first, all[0]);
  } finally {
    run.close();
  }
});
