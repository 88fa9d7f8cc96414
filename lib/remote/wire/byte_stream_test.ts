import { assertEquals, assertRejects } from "@std/assert";
import { ByteStreamReader, Disconnected } from "./byte_stream.ts";
import { memoryPair } from "../../../tests/fixtures/memory_streams.ts";

Deno.test("ByteStreamReader gives the lengths that are asked for, however the bytes come", async () => {
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
