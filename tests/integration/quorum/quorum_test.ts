import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { quorumError } from "../../../lib/quorum/run_quorum.ts";
import { recordStanding } from "../../../lib/quorum/standing.ts";
import { localRuntime } from "../../../lib/sandbox/receipt_fields.ts";
import { hang, type Program, reverse } from "../../fixtures/remote/fake_host.ts";
import { deterministicJob, endWith, lie, QuorumNodes } from "../../fixtures/remote/quorum_nodes.ts";
import { makeJob } from "../../fixtures/remote/test_node.ts";

const RIGHT = "dlroW ,olleH";

/** Reverses its input once all of several nodes run the job. */
function together(count: number): Program {
  let started = 0;
  const all = Promise.withResolvers<void>();
  return async function* (stdin, job) {
    if (++started === count) all.resolve();
    await all.promise;
    yield* reverse(stdin, job);
  };
}

Deno.test("runQuorum() runs a job on K nodes in parallel and returns their common result", async () => {
  const program = together(3);
  await using nodes = await QuorumNodes.start(program, program, program);
  using outcome = await nodes.run({ agree: 3 });
  assertEquals(quorumError(outcome), undefined);
  assertEquals(outcome.text, RIGHT);
  assertEquals(outcome.groups[0]!.receipts.length, 3);
  assertEquals(new Set(outcome.groups[0]!.receipts.map(({ run }) => run.nonce)).size, 3);
  assertEquals(nodes.outcomes, []);
});

Deno.test("runQuorum() cancels the nodes that are not needed any more", async () => {
  await using nodes = await QuorumNodes.start(hang, undefined, undefined);
  using outcome = await nodes.run({ agree: 2, nodes: 3 });
  assertEquals(outcome.summary, ["0 cancelled", "1 agreed", "2 agreed"]);
  assertEquals(outcome.text, RIGHT);
  const [slow] = nodes.nodes;
  await slow!.host.until(() => slow!.host.deleted.length === slow!.host.submitted.length);
});

Deno.test("runQuorum() starts no more nodes than it needs", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(outcome.summary, ["0 agreed", "1 agreed"]);
  assertEquals(nodes.nodes[2]!.dialCount, 0);
});

Deno.test("runQuorum() starts a spare node for one that lies, and the lie costs it its standing", async () => {
  await using nodes = await QuorumNodes.start(lie("false"), undefined, undefined, undefined);
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(outcome.summary, ["0 differs", "1 agreed", "2 agreed"]);
  assertEquals(outcome.text, RIGHT);
  const receipts = outcome.groups.flatMap((group) => group.receipts);
  recordStanding(receipts, receipts[0]!, (peerId, { ok }) => nodes.record(peerId, ok));
  assertEquals(nodes.outcomes.sort(), ["+1", "+2", "-0"]);
});

Deno.test("runQuorum() tries K+2 nodes, then reports that they disagree", async () => {
  const lies = ["a", "b", "c", "d", "e"].map(lie);
  await using nodes = await QuorumNodes.start(...lies);
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(outcome.runs.length, 4);
  const error = quorumError(outcome)!;
  assertEquals({ code: error.code, exit: error.exitCode }, { code: "bad-receipt", exit: 76 });
  assertStringIncludes(error.message, "4 nodes returned 4 different results (1, 1, 1, 1)");
  assertStringIncludes(error.hint!, "--arbitrate");
  assertEquals((error.details as { nodes: { receipt: unknown }[] }).nodes.length, 4);
});

Deno.test("runQuorum() starts a spare node for one that does not answer, and cancels it", async () => {
  await using nodes = await QuorumNodes.start(hang, undefined, undefined);
  using outcome = await nodes.run({ agree: 2, lateMs: 0 });
  assertEquals(outcome.summary, ["0 cancelled", "1 agreed", "2 agreed"]);
  assertEquals(nodes.outcomes, []);
});

Deno.test("honest failures are no claims", async () => {
  for (const status of ["timeout", "memory", "output", "cancelled"] as const) {
    await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
    endWith(nodes.nodes[0]!, status);
    using outcome = await nodes.run({ agree: 2 });
    assertEquals(outcome.summary, ["0 inconclusive", "1 agreed", "2 agreed"], status);
    assertEquals(nodes.outcomes, []);
    assertEquals(outcome.groups.length, 1);
  }
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  // In the default profile an exhausted stack is a trap, whose depth depends on the node.
  endWith(nodes.nodes[0]!, "trapped");
  using outcome = await nodes.run({ agree: 2, job: await makeJob() });
  assertEquals(outcome.summary, ["0 inconclusive", "1 agreed", "2 agreed"]);
});

Deno.test("a job that ends on every node for the same reason ends with its code", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined, undefined);
  for (const node of nodes.nodes) endWith(node, "timeout");
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(quorumError(outcome)!.code, "job-timeout");
  assertEquals(outcome.runs.length, 4);
});

Deno.test("a node that refuses the job is replaced and keeps its standing", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  nodes.nodes[0]!.host.onCheck = () => {
    throw new PlasmError("policy", "Cannot accept job: submitters are listed");
  };
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(outcome.summary, ["0 failed", "1 agreed", "2 agreed"]);
  assertEquals({ outcomes: nodes.outcomes, refusals: nodes.refusals }, {
    outcomes: [],
    refusals: [0],
  });
});

Deno.test("nodes in one network count once, and the error says how many were found", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  const candidates = () =>
    nodes.nodes.map(({ peerId }) => ({ peerId, networks: ["192.0.2.0/24"] }));
  using outcome = await nodes.run({ agree: 2, candidates });
  assertEquals(outcome.summary, ["0 agreed"]);
  const error = quorumError(outcome)!;
  assertEquals(error.code, "no-peer");
  assertStringIncludes(error.message, "2 nodes must agree, found 3, 1 returned a result");
  assertStringIncludes(error.message, "2 not used because it is in the network 192.0.2.0/24 of");
  assertStringIncludes(error.hint!, "--same-network");
  using allowed = await nodes.run({ agree: 2, candidates, sameNetwork: true });
  assertEquals(allowed.summary, ["0 agreed", "1 agreed"]);
});

Deno.test("a node of an unknown network does not count", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined);
  const candidates = () => nodes.nodes.map(({ peerId }) => ({ peerId, networks: [] }));
  using outcome = await nodes.run({ agree: 2, candidates });
  assertEquals(outcome.runs, []);
  assertStringIncludes(
    quorumError(outcome)!.message,
    "2 not used because its network is not known",
  );
});

Deno.test("one key counts once, however often it is found", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined);
  using outcome = await nodes.run({
    agree: 2,
    sameNetwork: true,
    candidates: () => [nodes.candidate(0), { ...nodes.candidate(0), networks: ["10.9.9.0/24"] }],
  });
  assertEquals(outcome.summary, ["0 agreed"]);
});

Deno.test("a receipt that another node signed is refused", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  const [copier, honest] = nodes.nodes;
  const copied = Promise.withResolvers<unknown>();
  honest!.host.alterEvent = (event) => {
    if (event.type === "finished") copied.resolve(event.receipt);
    return event;
  };
  copier!.host.program = async function* (stdin, job) {
    await copied.promise;
    yield* reverse(stdin, job);
  };
  let receipt: unknown;
  void copied.promise.then((value) => receipt = value);
  copier!.host.alterEvent = (event) =>
    event.type === "finished" ? { ...event, receipt: receipt as typeof event.receipt } : event;
  using outcome = await nodes.run({ agree: 3 });
  const run = outcome.runs[0]!;
  assertEquals({ outcome: run.outcome, code: run.error?.code }, {
    outcome: "failed",
    code: "bad-receipt",
  });
  assertEquals(outcome.groups[0]!.receipts.length, 2);
  assertEquals(nodes.outcomes, ["-0"]);
});

Deno.test("a receipt of another version is refused", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  nodes.nodes[0]!.host.alterEvent = (event) =>
    event.type === "finished"
      ? { ...event, receipt: { ...event.receipt, version: "0.1" as "0.2" } }
      : event;
  using outcome = await nodes.run({ agree: 2 });
  assertEquals(outcome.summary, ["0 failed", "1 agreed", "2 agreed"]);
});

Deno.test("no node receives anything that depends on another node's result", async () => {
  const run = async (answer: Program): Promise<string[]> => {
    await using nodes = await QuorumNodes.start(answer, undefined, undefined);
    const sent: Uint8Array[][] = nodes.nodes.map(() => []);
    for (const [at, node] of nodes.nodes.entries()) {
      node.wrap = (stream) => ({
        ...stream,
        write: (bytes) => {
          sent[at]!.push(bytes.slice());
          return stream.write(bytes);
        },
      });
    }
    using outcome = await nodes.run({ agree: 2 });
    assertEquals(outcome.groups[0]!.receipts.length, 2);
    // Latin-1 keeps every byte.
    const texts = sent.map((parts) =>
      parts.map((part) => Array.from(part, (byte) => String.fromCharCode(byte)).join("")).join("")
    );
    const { module } = await deterministicJob();
    assert(texts.every((text) => text.includes(module.hash)));
    for (const { claim } of outcome.groups.flatMap(({ receipts }) => receipts)) {
      const hash = claim.stdout.hash;
      assert(!texts.some((text) => text.includes(hash)), "a node received the hash of an output");
    }
    assert(!texts.some((text) => text.includes(RIGHT)), "a node received an output");
    return texts.map((text) => `${text.length}`);
  };
  // The third node is asked only because the first lied; it learns no more than the second.
  const sizes = await run(lie("a false answer"));
  assertEquals(sizes.length, 3);
  assertEquals(sizes[1], sizes[2]);
});

Deno.test("runQuorum() prefers nodes of one class unless the job is deterministic", async () => {
  await using nodes = await QuorumNodes.start(undefined, undefined, undefined);
  const runtime = localRuntime();
  const candidates = () => [
    nodes.candidate(0, { ...runtime, arch: "riscv64" }),
    nodes.candidate(1, runtime),
    nodes.candidate(2, runtime),
  ];
  using preferred = await nodes.run({ agree: 2, candidates, job: await makeJob() });
  assertEquals(preferred.summary, ["1 agreed", "2 agreed"]);
  const any = () => [nodes.candidate(1, runtime), nodes.candidate(0), nodes.candidate(2, runtime)];
  using outcome = await nodes.run({ agree: 2, candidates: any, job: await deterministicJob() });
  assertEquals(outcome.summary, ["1 agreed", "0 agreed"]);
});

Deno.test("a disagreement that the job's sources explain costs no standing", async () => {
  await using nodes = await QuorumNodes.start(lie("1"), lie("2"), lie("3"), lie("4"));
  for (const { host } of nodes.nodes) {
    host.alterReceipt = (fields) => ({
      ...fields,
      claim: { ...fields.claim, nondeterminism: ["clock"] },
    });
  }
  using outcome = await nodes.run({ agree: 2, job: await makeJob() });
  const error = quorumError(outcome)!;
  assertStringIncludes(error.message, "the job depends on clock");
  assertStringIncludes(error.hint!, "--deterministic");
  const receipts = outcome.groups.flatMap((group) => group.receipts);
  recordStanding(receipts, receipts[0]!, (peerId, { ok }) => nodes.record(peerId, ok));
  assertEquals(nodes.outcomes, ["+0"]);
});

Deno.test("runQuorum() cancels all nodes when its signal aborts", async () => {
  await using nodes = await QuorumNodes.start(hang, hang);
  const stop = new AbortController();
  const [first, second] = nodes.nodes.map(({ host }) => host);
  const running = nodes.run({ agree: 2, signal: stop.signal });
  await first!.until(() => first!.submitted.length === 1);
  await second!.until(() => second!.submitted.length === 1);
  stop.abort();
  assertEquals((await assertRejects(() => running, PlasmError)).code, "interrupted");
  for (const host of [first!, second!]) {
    assert([...host.jobs.values()].every((job) => job.cancelled));
  }
});

Deno.test("runQuorum() refuses numbers that make no quorum", async () => {
  await using nodes = await QuorumNodes.start();
  for (
    const size of [{ agree: 1 }, { agree: 3, nodes: 2 }, { agree: 2, nodes: 17 }, { agree: 2.5 }]
  ) {
    const error = await assertRejects(() => nodes.run(size), PlasmError);
    assertEquals(error.code, "usage");
  }
});
