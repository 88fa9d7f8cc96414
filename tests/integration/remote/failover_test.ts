import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { PeerOutcome } from "../../../lib/p2p/mod.ts";
import type { AttemptReport } from "../../../lib/remote/client/remote_job.ts";
import { makeJob, run, TestNode } from "../../fixtures/remote/test_node.ts";
import { withValue } from "../../fixtures/receipt_mutations.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";

function summarize(attempts: AttemptReport[]): string[] {
  return attempts.map(({ ran, error }) => `${ran} ${error?.code ?? "ok"}`);
}

async function failure(act: () => Promise<unknown>): Promise<PlasmError & { outcomes: string[] }> {
  const error = await assertRejects(act, PlasmError);
  const attempts = error.details["attempts"] as unknown as AttemptReport[];
  return Object.assign(error, { outcomes: summarize(attempts) });
}

Deno.test("runOnPeers() tries the next node when one rejects the job, and reports its figures", async () => {
  await using busy = await TestNode.create();
  await using free = await TestNode.create();
  busy.host.onCheck = () => {
    throw new PlasmError("over-limit", "Cannot accept job: asked 256 MB, node allows 64 MB", {
      details: { asked: 256, allowed: 64 },
    });
  };
  const { attempts, receipt } = await run({ nodes: [busy, free] });
  assertEquals(summarize(attempts), ["no over-limit", "yes ok"]);
  assertEquals(attempts[0]!.error!.details, { asked: 256, allowed: 64 });
  assertEquals(receipt.run.node.peer_id, free.peerId);
});

Deno.test("runOnPeers() retries a busy node when there is no other", async () => {
  await using node = await TestNode.create();
  let calls = 0;
  node.host.onCheck = () => {
    if (calls++ === 0) throw new PlasmError("busy", "Cannot accept job", { retryAfterMs: 1 });
  };
  const { attempts, receipt } = await run({ nodes: [node], nonce: "12".repeat(32) });
  assertEquals(summarize(attempts), ["no busy", "yes ok"]);
  assertEquals(receipt.run.nonce, "12".repeat(32));
});

Deno.test("runOnPeers() tries the next node when one is unreachable, stalls or disconnects", async () => {
  await using silent = await TestNode.create();
  silent.wrap = (stream) => ({ ...stream, read: () => new Promise(() => {}) });
  await using broken = await TestNode.create();
  broken.links = [{ cutAfter: 20 }];
  await using good = await TestNode.create();
  const nodes = [silent, broken, good];
  const { attempts } = await run({
    nodes,
    candidates: ["absent", "mute", ...nodes.map(({ peerId }) => peerId)].map((peerId) => ({
      peerId,
    })),
    dial: (peerId) => {
      if (peerId === "mute") return new Promise(() => {});
      const node = nodes.find((node) => node.peerId === peerId);
      if (node === undefined) throw new PlasmError("no-peer", `Cannot reach peer ${peerId}`);
      return Promise.resolve(node.dial());
    },
    attempts: 5,
    // The last node may take longer.
    timeouts: { answer: 20 },
  });
  assertEquals(summarize(attempts), [
    "no no-peer",
    "no peer-timeout",
    "no peer-timeout",
    "no no-peer",
    "yes ok",
  ]);
});

function rejects(
  node: TestNode,
  ...[code, message, options]: ConstructorParameters<typeof PlasmError>
): void {
  node.host.onCheck = () => {
    throw new PlasmError(code, message, options);
  };
}

Deno.test("runOnPeers() tries no more nodes when two state that the caller is at fault", async () => {
  await using node = await TestNode.create();
  await using second = await TestNode.create();
  await using third = await TestNode.create();
  for (const each of [node, second]) rejects(each, "bad-module", "Cannot run module");
  const error = await failure(() => run({ nodes: [node, second, third] }));
  assertEquals({ code: error.code, outcomes: error.outcomes }, {
    code: "bad-module",
    outcomes: ["no bad-module", "no bad-module"],
  });
  assertEquals(third.dialCount, 0);
});

Deno.test("runOnPeers() runs a job that one node calls invalid on another", async () => {
  await using node = await TestNode.create();
  await using other = await TestNode.create();
  rejects(node, "bad-module", "Cannot run module");
  const { attempts } = await run({ nodes: [node, other] });
  assertEquals(summarize(attempts), ["no bad-module", "yes ok"]);
});

Deno.test("runOnPeers() records a refusal, whatever its code, as no failure of the node", async () => {
  const cases: [ConstructorParameters<typeof PlasmError>, PeerOutcome][] = [
    [["protocol", "Cannot exchange jobs"], { ok: false, refusedForMs: 60_000 }],
    [["busy", "Queue is full", { retryAfterMs: 5 }], { ok: false, refusedForMs: 5 }],
    [["policy", "Not allowed"], { ok: false, refusedForMs: 0 }],
    [["no-peer", "A lie"], { ok: false, refusedForMs: 0 }],
  ];
  for (const [error, expected] of cases) {
    await using node = await TestNode.create();
    rejects(node, ...error);
    const outcomes: PeerOutcome[] = [];
    await failure(() =>
      run({
        nodes: [node],
        attempts: 1,
        recordOutcome: (_peerId, outcome) => outcomes.push(outcome),
      })
    );
    assertEquals(outcomes, [expected]);
  }
});

Deno.test("runOnPeers() repeats a job that may have run only when it is idempotent", async () => {
  for (const idempotent of [false, true]) {
    await using lost = await TestNode.create();
    await using other = await TestNode.create();
    lost.host.program = hang;
    const act = async () =>
      await run({
        nodes: [lost, other],
        job: await makeJob({ idempotent }),
        onEvent: ({ type, peerId }) => {
          if (type === "started" && peerId === lost.peerId) lost.cut();
        },
        dial: (peerId) => {
          if (peerId === other.peerId) return Promise.resolve(other.dial());
          if (lost.dialCount === 0) return Promise.resolve(lost.dial());
          throw new PlasmError("no-peer", "Cannot reach peer: it is offline");
        },
        timeouts: { reattach: 0 },
      });
    if (idempotent) {
      const { attempts, text } = await act();
      assertEquals({ attempts: summarize(attempts), text }, {
        attempts: ["yes no-peer", "yes ok"],
        text: "dlroW ,olleH",
      });
    } else {
      assertEquals((await failure(act)).outcomes, ["yes no-peer"]);
      assertEquals(other.dialCount, 0);
    }
  }
});

Deno.test("runOnPeers() runs an idempotent job on another node when a receipt is false", async () => {
  await using dishonest = await TestNode.create();
  await using honest = await TestNode.create();
  dishonest.host.alterReceipt = (fields) => withValue(fields, ["claim", "stdout", "bytes"], 1);
  const nodes = [dishonest, honest];
  const { attempts } = await run({ nodes, job: await makeJob({ idempotent: true }) });
  assertEquals(summarize(attempts), ["yes bad-receipt", "yes ok"]);
});

Deno.test("runOnPeers() cancels a job when its node does not start it in time", async () => {
  await using slow = await TestNode.create();
  await using other = await TestNode.create();
  // It reports that the job is queued, and never that it started.
  slow.host.program = hang;
  slow.host.alterEvent = (event) =>
    event.type === "started" || event.type === "stdout"
      ? { id: event.id, at: event.at, type: "queued", position: 3 }
      : event;
  slow.host.alterReceipt = ({ claim, run }) => ({ run, claim: { ...claim, stdout: claim.stderr } });
  let calls = 0;
  // Only the first node has a short time limit.
  const timeouts = {
    get queue() {
      return calls++ === 0 ? 50 : 60_000;
    },
  };
  const { attempts } = await run({ nodes: [slow, other], timeouts });
  assertEquals(summarize(attempts), ["no peer-timeout", "yes ok"]);
  assertEquals(slow.host.jobs.size, 0);
});

Deno.test("runOnPeers() cancels the job on its node when the signal aborts", async () => {
  await using node = await TestNode.create();
  node.host.program = hang;
  const stop = new AbortController();
  const error = await failure(() =>
    run({
      nodes: [node],
      signal: stop.signal,
      onEvent: ({ type }) => type === "started" && stop.abort(),
    })
  );
  assertEquals({ code: error.code, exitCode: error.exitCode }, {
    code: "interrupted",
    exitCode: 130,
  });
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals(node.host.jobs.size, 0);
});

Deno.test("runOnPeers() disconnects when a node sends more output than allowed", async () => {
  await using node = await TestNode.create();
  node.host.program = function* () {
    for (let at = 0; at < 64; at++) yield new Uint8Array(50_000);
  };
  const job = await makeJob({ resources: { output_bytes: 1_000_000 } });
  const error = await failure(() => run({ nodes: [node], job }));
  assertEquals({ code: error.code, maxBytes: error.details["max_bytes"] }, {
    code: "protocol",
    maxBytes: 1_000_000,
  });
  assertEquals(error.outcomes, ["yes protocol"]);
});

Deno.test("runOnPeers() streams output and verifies it at the end when `live` is set", async () => {
  await using node = await TestNode.create();
  const shown: string[] = [];
  const { text, receipt } = await run({
    nodes: [node],
    live: (stream, data) => void shown.push(`${stream} ${new TextDecoder().decode(data)}`),
  });
  assertEquals({ shown, text, status: receipt.claim.status }, {
    shown: ["stdout dlroW ,olleH"],
    text: "",
    status: "exited",
  });
});
