import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { AttemptReport } from "../../../lib/remote/client/remote_job.ts";
import { makeJob, run, TestNode } from "../../fixtures/remote/bench.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

function tell(attempts: AttemptReport[]): string[] {
  return attempts.map(({ ran, error }) => `${ran} ${error?.code ?? "ok"}`);
}

async function failure(act: () => Promise<unknown>): Promise<PlasmError & { tries: string[] }> {
  const error = await assertRejects(act, PlasmError);
  const attempts = error.details["attempts"] as unknown as AttemptReport[];
  return Object.assign(error, { tries: tell(attempts) });
}

Deno.test("runOnPeers() goes to the next node when one refuses, with its figures", async () => {
  await using busy = await TestNode.create();
  await using free = await TestNode.create();
  busy.host.refuse = () => {
    throw new PlasmError("over-limit", "Cannot accept job: asked 256 MB, node allows 64 MB", {
      details: { asked: 256, allowed: 64 },
    });
  };
  const { attempts, receipt } = await run({ nodes: [busy, free] });
  assertEquals(tell(attempts), ["no over-limit", "yes ok"]);
  assertEquals(attempts[0]!.error!.details, { asked: 256, allowed: 64 });
  assertEquals(receipt.node.peer_id, free.peerId);
});

Deno.test("runOnPeers() comes back to a node that was busy", async () => {
  await using node = await TestNode.create();
  let times = 0;
  node.host.refuse = () => {
    if (times++ === 0) throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  const { attempts, receipt } = await run({ nodes: [node], nonce: "12".repeat(32) });
  assertEquals(tell(attempts), ["no busy", "yes ok"]);
  assertEquals(receipt.nonce, "12".repeat(32));
});

Deno.test("runOnPeers() goes on when a node cannot be reached, stalls, or breaks off early", async () => {
  await using deaf = await TestNode.create();
  deaf.wrap = (duplex) => ({ ...duplex, read: () => new Promise(() => {}) });
  await using broken = await TestNode.create();
  broken.lines = [{ cutAfter: 20 }];
  await using good = await TestNode.create();
  const nodes = [deaf, broken, good];
  const { attempts } = await run({
    nodes,
    candidates: [{ peerId: "12D3KooWNobody" }, ...nodes.map(({ peerId }) => ({ peerId }))],
    attempts: 4,
    timeouts: { offer: 20 },
  });
  assertEquals(tell(attempts), ["no no-peer", "no peer-timeout", "no no-peer", "yes ok"]);
});

Deno.test("runOnPeers() does not retry what the caller caused", async () => {
  await using node = await TestNode.create();
  await using other = await TestNode.create();
  node.host.refuse = () => {
    throw new PlasmError("bad-module", "Cannot run module: it is a component");
  };
  const error = await failure(() => run({ nodes: [node, other] }));
  assertEquals([error.code, error.tries], ["bad-module", ["no bad-module"]]);
  assertEquals(other.dialled, 0);
});

Deno.test("runOnPeers() never runs a job twice that may have run, unless it may", async () => {
  for (const idempotent of [false, true]) {
    await using lost = await TestNode.create();
    await using other = await TestNode.create();
    lost.host.program = hang;
    const act = async () =>
      await run({
        nodes: [lost, other],
        job: await makeJob({ idempotent }),
        onProgress: ({ phase, peerId }) => {
          if (phase === "running" && peerId === lost.peerId) lost.cut();
        },
        dial: (peerId) => {
          if (peerId === other.peerId) return Promise.resolve(other.dial());
          if (lost.dialled === 0) return Promise.resolve(lost.dial());
          throw new PlasmError("no-peer", "Cannot reach peer: it is off");
        },
        timeouts: { reattach: 0 },
      });
    if (idempotent) {
      const { attempts, text } = await act();
      assertEquals([tell(attempts), text], [["yes no-peer", "yes ok"], "dlroW ,olleH"]);
    } else {
      assertEquals((await failure(act)).tries, ["yes no-peer"]);
      assertEquals(other.dialled, 0);
    }
  }
});

Deno.test("runOnPeers() tries an idempotent job elsewhere when a node lies", async () => {
  await using liar = await TestNode.create();
  await using honest = await TestNode.create();
  liar.host.lie = (fields) => ({ ...fields, stdout_bytes: 1 });
  const nodes = [liar, honest];
  const { attempts } = await run({ nodes, job: await makeJob({ idempotent: true }) });
  assertEquals(tell(attempts), ["yes bad-receipt", "yes ok"]);
});

Deno.test("runOnPeers() takes a job back from a node that does not start it", async () => {
  await using slow = await TestNode.create();
  await using other = await TestNode.create();
  // It says that the job waits, and never that it starts.
  slow.host.program = hang;
  slow.host.twist = (event) =>
    event.type === "started" || event.type === "stdout"
      ? { id: event.id, at: event.at, type: "queued", position: 3 }
      : event;
  slow.host.lie = (fields) => ({ ...fields, stdout_bytes: 0, stdout_hash: fields.stderr_hash });
  let times = 0;
  // Only the first node is given little time.
  const timeouts = {
    get queue() {
      return times++ === 0 ? 50 : 60_000;
    },
  };
  const { attempts } = await run({ nodes: [slow, other], timeouts });
  assertEquals(tell(attempts), ["no peer-timeout", "yes ok"]);
  assertEquals(slow.host.jobs.size, 0);
});

Deno.test("runOnPeers() cancels on the node when its signal aborts", async () => {
  await using node = await TestNode.create();
  node.host.program = hang;
  const stop = new AbortController();
  const error = await failure(() =>
    run({
      nodes: [node],
      signal: stop.signal,
      onProgress: ({ phase }) => phase === "running" && stop.abort(),
    })
  );
  assertEquals([error.code, error.exitCode], ["interrupted", 130]);
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals(node.host.jobs.size, 0);
});

Deno.test("runOnPeers() stops a node that floods", async () => {
  await using node = await TestNode.create();
  node.host.program = function* () {
    for (let at = 0; at < 64; at++) yield new Uint8Array(50_000);
  };
  const job = await makeJob({ resources: { output_bytes: 1_000_000 } });
  const error = await failure(() => run({ nodes: [node], job }));
  assertEquals([error.code, error.details["max_bytes"]], ["protocol", 1_000_000]);
  assertEquals(error.tries, ["yes protocol"]);
});

Deno.test("runOnPeers() gives output as it comes when asked to, and verifies it all the same", async () => {
  await using node = await TestNode.create();
  const shown: string[] = [];
  const { text, receipt } = await run({
    nodes: [node],
    live: (stream, data) => void shown.push(`${stream} ${new TextDecoder().decode(data)}`),
  });
  assertEquals([shown, text, receipt.status], [["stdout dlroW ,olleH"], "", "exited"]);
});
