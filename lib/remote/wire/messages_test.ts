import { assertEquals, assertStringIncludes } from "@std/assert";
import { memoryPair } from "../../../tests/fixtures/memory_streams.ts";
import { FrameChannel } from "./frame_channel.ts";
import { JOB_PROTOCOL, JOB_VERSION, MAX_BYTES } from "./messages.ts";

const DOCUMENT = await Deno.readTextFile(new URL("../../../docs/protocol.md", import.meta.url));

Deno.test("FrameChannel.write() writes the bytes that docs/protocol.md shows", async () => {
  const { client, node } = memoryPair();
  await new FrameChannel(client).write({
    type: "taken",
    job_id: "job_aaaaaaaaaaaaaaaaaaaaaaaaaa",
  });
  const bytes = await node.read();
  const [, example] = DOCUMENT.match(/```\n([0-9a-f\n]+)```/)!;
  assertEquals(bytes!.toHex(), example!.replaceAll("\n", ""));
  client.abort(new Error("Test ended"));
});

Deno.test("docs/protocol.md lists every message with its cap when the caps change", () => {
  assertStringIncludes(DOCUMENT, JOB_PROTOCOL);
  assertStringIncludes(DOCUMENT, `text \`${JOB_VERSION}\``);
  for (const [type, bytes] of Object.entries(MAX_BYTES)) {
    const row = DOCUMENT.split("\n").find((line) => line.startsWith(`| \`${type}\` `));
    assertEquals(row?.split("|").at(-2)?.trim(), bytes.toLocaleString("en-US"), type);
  }
});
