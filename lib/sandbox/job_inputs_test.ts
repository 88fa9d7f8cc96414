import { assertEquals } from "@std/assert";
import { sha256 } from "../core/hash.ts";
import { HashedStdin } from "./job_inputs.ts";

const PIECE = Uint8Array.of(1, 2, 3);

Deno.test("HashedStdin.stream ends when its source ends", async () => {
  const stdin = new HashedStdin(ReadableStream.from([PIECE]));
  assertEquals(await Array.fromAsync(stdin.stream), [PIECE]);
  assertEquals(await stdin.digest(), await sha256(PIECE));
});

Deno.test("HashedStdin.stream does not end when its source is broken", async () => {
  const stdin = new HashedStdin(ReadableStream.from([PIECE]), { isBroken: () => true });
  const reader = stdin.stream.getReader();
  assertEquals((await reader.read()).value, PIECE);
  let ended = false;
  const reading = reader.read().then(({ done }) => ended = done);
  assertEquals(await stdin.digest(), await sha256(PIECE));
  assertEquals(ended, false);
  await reader.cancel();
  assertEquals(await reading, true);
});
