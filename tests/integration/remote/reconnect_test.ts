import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { CHUNK_BYTES } from "../../../lib/remote/wire/messages.ts";
import { resumeOnPeer } from "../../../lib/remote/client/run_on_peers.ts";
import type { ResumeTicket } from "../../../lib/remote/client/remote_job.ts";
import { makeJob, run, seededBytes, seededRandom, TestNode } from "../../fixtures/remote/bench.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

const CUTS = 60;
/** The reconnecting client waits at random; it need not wait long for a test. */
const MODULE = seededBytes(3 * 2 ** 20 + 12_345);

Deno.test("runOnPeers() goes on after cuts at many points, resending less than a chunk each", async () => {
  await using node = await TestNode.create();
  const random = seededRandom(7);
  node.lines = [
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

Deno.test("runOnPeers() misses nothing of the output over cuts of the way back", async () => {
  await using node = await TestNode.create();
  const random = seededRandom(11);
  const output = seededBytes(400_000, 3);
  node.host.program = function* () {
    for (let at = 0; at < output.length; at += 5_000) yield output.subarray(at, at + 5_000);
  };
  node.lines = [
    { cutBackAfter: 900 },
    ...Array.from({ length: CUTS }, () => ({ cutBackAfter: 500 + Math.floor(random() * 20_000) })),
    {},
  ];
  const { receipt, attempts } = await run({ nodes: [node], retryMs: 0 });
  // The receipt's hash over all of it was checked by then.
  assertEquals(receipt.stdout_bytes, output.length);
  assert(attempts[0]!.reconnects > 10);
  assertEquals(node.host.submitted.length, 1);
});

Deno.test("resumeOnPeer() goes on for a restarted client, in the transfer and after it", async () => {
  for (const when of ["sending", "running"]) {
    await using node = await TestNode.create();
    const job = await makeJob({ module: MODULE });
    let ticket: ResumeTicket | undefined;
    // The first process dies at the cut: it says nothing more to anybody.
    await assertRejects(() =>
      run({
        nodes: [node],
        job,
        saveTicket: (kept) => void (ticket ??= kept),
        dial: () => node.dialled === 0 ? Promise.resolve(node.dial()) : new Promise(() => {}),
        onProgress: (news) => {
          if (news.phase === when && (news.phase !== "sending" || news.sent > 10 ** 6)) node.cut();
        },
        timeouts: { connect: 50, reattach: 0 },
      })
    );
    const before = node.host.stored;
    const { receipt, output, attempts } = await resumeOnPeer(job, ticket!, {
      dial: () => Promise.resolve(node.dial()),
    });
    output[Symbol.dispose]();
    assertEquals(receipt.module_hash, job.module.hash);
    assertEquals(node.host.submitted.length, 1);
    assertEquals(node.host.stored, MODULE.length + 12);
    assertEquals(attempts[0]!.sentBytes, node.host.stored - before);
  }
});

Deno.test("a job whose client does not come back is cancelled and forgotten", async () => {
  await using node = await TestNode.create();
  node.policy = { ...node.policy, orphanMs: 1, resultMs: 1 };
  node.host.program = hang;
  const error = await assertRejects(
    () =>
      run({
        nodes: [node],
        dial: () => {
          if (node.dialled === 0) return Promise.resolve(node.dial());
          throw new PlasmError("no-peer", "Cannot reach peer: it is off");
        },
        timeouts: { reattach: 0 },
        onProgress: ({ phase }) => phase === "running" && node.cut(),
      }),
    PlasmError,
  );
  assertEquals(error.code, "no-peer");
  assertEquals((error.details["attempts"] as { ran: string }[])[0]!.ran, "yes");
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals(node.host.jobs.size, 0);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("a transfer whose client does not come back is thrown away", async () => {
  await using node = await TestNode.create();
  node.policy = { ...node.policy, transferMs: 1 };
  node.lines = [{ cutAfter: 300_000 }];
  const job = await makeJob({ module: MODULE });
  await assertRejects(() =>
    run({
      nodes: [node],
      job,
      dial: () => {
        if (node.dialled === 0) return Promise.resolve(node.dial());
        throw new PlasmError("no-peer", "Cannot reach peer: it is off");
      },
      timeouts: { reattach: 0 },
    })
  );
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals([node.host.submitted.length, node.host.blobs.has(job.module.hash)], [0, false]);
});
