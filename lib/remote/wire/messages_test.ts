import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { memoryPair } from "../../../tests/fixtures/memory_streams.ts";
import { FrameChannel } from "./frame_channel.ts";
import { checkMessage, DOCUMENT_VERSION, JOB_PROTOCOL, MAX_BYTES } from "./messages.ts";

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
  assertStringIncludes(DOCUMENT, `text \`${DOCUMENT_VERSION}\``);
  for (const [type, bytes] of Object.entries(MAX_BYTES)) {
    const row = DOCUMENT.split("\n").find((line) => line.startsWith(`| \`${type}\` `));
    assertEquals(row?.split("|").at(-2)?.trim(), bytes.toLocaleString("en-US"), type);
  }
});

Deno.test("checkMessage() refuses documents of another version before it reads other fields", () => {
  for (const type of ["offer", "accept", "attach", "cancel"]) {
    for (const [version, found] of [["0.1", "0.1"], ["1.0", "1.0"], [7, "another one"]]) {
      const message = { type, version, field_of_that_version: 1 };
      const error = assertThrows(() => checkMessage(message), PlasmError);
      assertEquals(
        error.message,
        [
          `Cannot exchange jobs: the peer has documents of version ${found},`,
          `this node ${DOCUMENT_VERSION}`,
        ].join(" "),
      );
      assertEquals({ code: error.code, field: error.details["field"] }, {
        code: "protocol",
        field: "version",
      });
    }
  }
});
