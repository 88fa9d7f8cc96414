import { assertEquals, assertRejects } from "@std/assert";
import { PrintBuffer } from "./print_buffer.ts";

const decoder = new TextDecoder();

/** Records what is written, by stream. */
function recorder() {
  const calls: string[] = [];
  const record = (stream: string) => (data: Uint8Array | string): Promise<void> => {
    calls.push(`${stream} ${typeof data === "string" ? data : decoder.decode(data)}`);
    return Promise.resolve();
  };
  return { calls, write: record("out"), message: record("err") };
}

Deno.test("PrintBuffer writes several pieces at once, and before a message", async () => {
  const io = recorder();
  const buffer = new PrintBuffer(io);
  const piece = new TextEncoder().encode("a");
  await buffer.write(piece);
  piece.fill(0); // lent until the call returns
  await buffer.write("b");
  assertEquals(io.calls, []);
  await buffer.message("c");
  await buffer.write("d");
  await buffer.flush();
  await buffer.flush();
  assertEquals(io.calls, ["out ab", "err c", "out d"]);
});

Deno.test("PrintBuffer writes a full buffer at once", async () => {
  const io = recorder();
  await new PrintBuffer(io).write("x".repeat(32 * 1024));
  assertEquals(io.calls.length, 1);
});

Deno.test("PrintBuffer throws the error of a write from then on", async () => {
  const buffer = new PrintBuffer({
    ...recorder(),
    write: () => Promise.reject(new Error("closed")),
  });
  await buffer.write("a");
  for (let n = 0; n < 2; n++) await assertRejects(() => buffer.flush(), Error, "closed");
});
