import { assert, assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { createMailbox, MailboxReceiver, MailboxSender } from "./mailbox.ts";

const END = { end: { type: "exited" as const, exitCode: 3 }, memoryPeakBytes: 65536 };

Deno.test("MailboxReceiver.take() gives what was given, and nothing where a message was sent", () => {
  const slot = createMailbox();
  const giver = new MailboxSender(slot);
  const taker = new MailboxReceiver(slot);
  assert(giver.give(new Uint8Array([1, 2, 3])));
  assertEquals(taker.take(), new Uint8Array([1, 2, 3]));
  giver.call();
  assertEquals(taker.take(), undefined);
  assert(giver.give(new Uint8Array()));
  assertEquals(taker.take(), new Uint8Array());
});

Deno.test("MailboxSender.give() leaves what does not fit", () => {
  const slot = createMailbox();
  const giver = new MailboxSender(slot);
  assert(!giver.give(new Uint8Array(slot.job.byteLength + 1)));
  assert(giver.give(new Uint8Array(slot.job.byteLength)));
});

Deno.test("MailboxSender.takeEnd() tells how each job ended", async () => {
  const slot = createMailbox();
  const giver = new MailboxSender(slot);
  const taker = new MailboxReceiver(slot);
  for (const exitCode of [0, 1, 2]) {
    assert(!giver.waitSync(0));
    taker.putEnd({ ...END, end: { type: "exited", exitCode } });
    assert(!giver.hasEnded);
    taker.tell();
    assert(giver.waitSync(0));
    await giver.wait();
    assertEquals(giver.takeEnd().end, { type: "exited", exitCode });
  }
});

Deno.test("MailboxReceiver.putEnd() shortens a reason that a module made long", () => {
  const slot = createMailbox();
  const giver = new MailboxSender(slot);
  const taker = new MailboxReceiver(slot);
  taker.putEnd({ end: { type: "trapped", reason: "\0".repeat(1e6) }, memoryPeakBytes: 0 });
  taker.tell();
  assertEquals(giver.takeEnd().end, { type: "trapped", reason: "\0".repeat(2000) });
});

Deno.test("MailboxSender.takeEnd() refuses what is no end", () => {
  for (const text of ["", "{", "null", "[]", '{"end":{}}', '{"end":null}']) {
    const slot = createMailbox();
    const giver = new MailboxSender(slot);
    const bytes = new TextEncoder().encode(text);
    new Uint8Array(slot.end).set(bytes);
    for (const length of [bytes.length, -1]) {
      new Int32Array(slot.control)[4] = length;
      const error = assertThrows(() => giver.takeEnd(), PlasmError);
      assertEquals(error.code, "executor");
    }
  }
});
