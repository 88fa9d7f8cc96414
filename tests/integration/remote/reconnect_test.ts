import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { CHUNK_BYTES } from "../../../lib/remote/wire/messages.ts";
import { resumeOnPeer } from "../../../lib/remote/client/run_on_peers.ts";
import type { ResumeTicket } from "../../../lib/remote/client/remote_job.ts";
import {
  makeJob,
  run,
  seededBytes,
  seededRandom,
  TestNode,
} from "../../fixtures/remote/test_node.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

const CUTS = 60;
const MODULE = seededBytes(3 * 2 ** 20 + 12_345);

Deno.test("runOnPeers() resends less than a chunk for each cut when the transfer is cut at many points", async () => {
  await using node = await TestNode.create();
  const random = seededRandom(7);
  node.links = [
    ...Array.from({ length: CUTS }, () => ({ cutAfter: 1 + Math.floor(random() * 200_000) })),
    {},
  ];
  const job = await makeJob({ module: MODULE });
  const { text, attempts } = await run({ nodes: [node], job, retryMs: 0 });
  assertEquals(text, "dlroW ,olleH");
  assertEquals(attempts.length, 1);
  const { reconnects } = attempts[0]!;
  assert(reconnects > 20, `only ${reconnects} cuts hit the transfer`);
  assertEquals(node.host.submitted.length, 1);
  assertEquals(node.host.stored, MODULE.length + 12);
  const resent = node.server.receivedBytes - node.host.stored;
  assertLess(resent, reconnects * CHUNK_BYTES);
});

Deno.test("runOnPeers() receives all output when the connection from the node is cut at many points", async () => {
  await using node = await TestNode.create();
  const random = seededRandom(11);
  const output = seededBytes(400_000, 3);
  node.host.program = function* () {
    for (let at = 0; at < output.length; at += 5_000) yield output.subarray(at, at + 5_000);
  };
  node.links = [
    { cutBackAfter: 900 },
    ...Array.from({ length: CUTS }, () => ({ cutBackAfter: 500 + Math.floor(random() * 20_000) })),
    {},
  ];
  const { receipt, attempts } = await run({ nodes: [node], retryMs: 0 });
  // The receipt's hash of the output has been verified.
  assertEquals(receipt.claim.stdout.bytes, output.length);
  assert(attempts[0]!.reconnects > 10);
  assertEquals(node.host.submitted.length, 1);
});

Deno.test("resumeOnPeer() resumes a job when the client restarts during the transfer or the run", async () => {
  for (const when of ["sending", "started"]) {
    await using node = await TestNode.create();
    const job = await makeJob({ module: MODULE });
    let ticket: ResumeTicket | undefined;
    // The first client stops at the cut, as if it had been killed.
    await assertRejects(() =>
      run({
        nodes: [node],
        job,
        saveTicket: (saved) => void (ticket ??= saved),
        dial: () => node.dialCount === 0 ? Promise.resolve(node.dial()) : new Promise(() => {}),
        onEvent: (event) => {
          if (event.type === when && (event.type !== "sending" || event.sent > 10 ** 6)) node.cut();
        },
        timeouts: { connect: 50, reattach: 0 },
      })
    );
    const before = node.host.stored;
    const { receipt, output, attempts } = await resumeOnPeer(job, ticket!, {
      dial: () => Promise.resolve(node.dial()),
    });
    output[Symbol.dispose]();
    assertEquals(receipt.claim.module_hash, job.module.hash);
    assertEquals(node.host.submitted.length, 1);
    assertEquals(node.host.stored, MODULE.length + 12);
    assertEquals(attempts[0]!.sentBytes, node.host.stored - before);
  }
});

Deno.test("JobServer cancels and deletes a job when its client does not reconnect", async () => {
  await using node = await TestNode.create();
  node.policy = { ...node.policy, orphanMs: 1, resultMs: 1 };
  node.host.program = hang;
  const error = await assertRejects(
    () =>
      run({
        nodes: [node],
        dial: () => {
          if (node.dialCount === 0) return Promise.resolve(node.dial());
          throw new PlasmError("no-peer", "Cannot reach peer: it is offline");
        },
        timeouts: { reattach: 0 },
        onEvent: ({ type }) => type === "started" && node.cut(),
      }),
    PlasmError,
  );
  assertEquals(error.code, "no-peer");
  assertEquals((error.details["attempts"] as { ran: string }[])[0]!.ran, "yes");
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals(node.host.jobs.size, 0);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("JobServer discards a transfer when its client does not reconnect", async () => {
  await using node = await TestNode.create();
  node.policy = { ...node.policy, transferMs: 1 };
  node.links = [{ cutAfter: 300_000 }];
  const job = await makeJob({ module: MODULE });
  await assertRejects(() =>
    run({
      nodes: [node],
      job,
      dial: () => {
        if (node.dialCount === 0) return Promise.resolve(node.dial());
        throw new PlasmError("no-peer", "Cannot reach peer: it is offline");
      },
      timeouts: { reattach: 0 },
    })
  );
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals({
    submitted: node.host.submitted.length,
    hasModule: node.host.blobs.has(job.module.hash),
  }, { submitted: 0, hasModule: false });
});
