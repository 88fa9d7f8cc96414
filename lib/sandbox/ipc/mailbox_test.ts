import { assert, assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { createMailbox, MailboxReceiver, MailboxSender } from "./mailbox.ts";

Deno.test("MailboxReceiver.receive() returns the job sent, or undefined when a message was posted", () => {
  const mailbox = createMailbox();
  const sender = new MailboxSender(mailbox);
  const receiver = new MailboxReceiver(mailbox);
  assert(sender.sendJob(new Uint8Array([1, 2, 3])));
  assertEquals(receiver.receive(), new Uint8Array([1, 2, 3]));
  sender.announceMessage();
  assertEquals(receiver.receive(), undefined);
  assert(sender.sendJob(new Uint8Array()));
  assertEquals(receiver.receive(), new Uint8Array());
});

Deno.test("MailboxSender.sendJob() returns false when the job does not fit", () => {
  const mailbox = createMailbox();
  const sender = new MailboxSender(mailbox);
  assert(!sender.sendJob(new Uint8Array(mailbox.job.byteLength + 1)));
  assert(sender.sendJob(new Uint8Array(mailbox.job.byteLength)));
});

Deno.test("MailboxSender.readResult() returns the result of each job", async () => {
  const mailbox = createMailbox();
  const sender = new MailboxSender(mailbox);
  const receiver = new MailboxReceiver(mailbox);
  for (const exitCode of [0, 1, 2]) {
    assert(!sender.waitSync(0));
    receiver.writeResult({ exit: { type: "exited", exitCode }, memoryPeakBytes: 65536 });
    assert(!sender.hasResult);
    receiver.publishResult();
    assert(sender.waitSync(0));
    await sender.wait();
    assertEquals(sender.readResult().exit, { type: "exited", exitCode });
  }
});

Deno.test("MailboxReceiver.writeResult() truncates a long reason", () => {
  const mailbox = createMailbox();
  const sender = new MailboxSender(mailbox);
  const receiver = new MailboxReceiver(mailbox);
  receiver.writeResult({ exit: { type: "trapped", reason: "\0".repeat(1e6) }, memoryPeakBytes: 0 });
  receiver.publishResult();
  assertEquals(sender.readResult().exit, { type: "trapped", reason: "\0".repeat(2000) });
});

Deno.test("MailboxSender.readResult() throws when the result is malformed", () => {
  for (const text of ["", "{", "null", "[]", '{"exit":{}}', '{"exit":null}']) {
    const mailbox = createMailbox();
    const sender = new MailboxSender(mailbox);
    const bytes = new TextEncoder().encode(text);
    new Uint8Array(mailbox.result).set(bytes);
    for (const length of [bytes.length, -1]) {
      new Int32Array(mailbox.control)[4] = length;
      const error = assertThrows(() => sender.readResult(), PlasmError);
      assertEquals(error.code, "executor");
    }
  }
});
