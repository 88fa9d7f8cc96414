import { assertEquals, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { ManifestOptions } from "../../../lib/core/manifest.ts";
import { makeOffer } from "../../../lib/remote/client/handshake.ts";
import {
  type AttemptReport,
  chunksOf,
  type PhaseTimeouts,
} from "../../../lib/remote/client/remote_job.ts";
import {
  type ByteStream,
  Disconnected,
  FrameChannel,
} from "../../../lib/remote/wire/frame_channel.ts";
import { hang } from "../../fixtures/remote/fake_host.ts";
import { makeJob, run, seededBytes, TestNode } from "../../fixtures/remote/test_node.ts";

const NONCE = "ab".repeat(32);

/** Connection that a test can make silent: it stays open, and nothing arrives any more. */
class SilentLink {
  #silent = false;

  silence(): void {
    this.#silent = true;
  }

  wrap = (stream: ByteStream): ByteStream => {
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => {});
    return {
      ...stream,
      read: async () => {
        const bytes = await stream.read();
        return this.#silent ? await aborted.promise : bytes;
      },
      write: (bytes) => this.#silent ? aborted.promise : stream.write(bytes),
      abort: (reason) => {
        aborted.reject(new Disconnected(reason.message));
        stream.abort(reason);
      },
    };
  };
}

/** Time limits of which only those of the first attempt are short. */
function shortAtFirst(first: Partial<PhaseTimeouts>): Partial<PhaseTimeouts> {
  let attempts = 0;
  return {
    get silence() {
      return attempts++ === 0 ? first.silence ?? 60_000 : 60_000;
    },
    reattach: first.reattach ?? 60_000,
  };
}

function outcomes(attempts: readonly AttemptReport[]): string[] {
  return attempts.map(({ ran, error }) => `${ran} ${error?.code ?? "ok"}`);
}

/** Runs a job on a node that becomes silent when the job starts, and on another one. */
async function loseWhileRunning(options: Partial<ManifestOptions>) {
  await using lost = await TestNode.create();
  await using other = await TestNode.create();
  const link = new SilentLink();
  lost.host.program = hang;
  lost.wrap = link.wrap;
  const seen: string[] = [];
  const running = run({
    nodes: [lost, other],
    job: await makeJob(options),
    timeouts: shortAtFirst({ silence: 20, reattach: 0 }),
    onEvent: ({ type, peerId }) => {
      seen.push(type);
      if (type === "started" && peerId === lost.peerId) link.silence();
    },
    dial: (peerId, { isFresh = false }) => {
      if (peerId === other.peerId) return Promise.resolve(other.dial());
      if (lost.dialCount === 0) return Promise.resolve(lost.dial());
      seen.push(`dial ${isFresh ? "fresh" : "again"}`);
      throw new PlasmError("no-peer", "Cannot reach peer: it is offline");
    },
  });
  const result = await running.catch(PlasmError.from);
  return { result, seen, lost, other };
}

Deno.test("runOnPeers() moves a repeatable job to another node at once when its node is silent", async () => {
  for (const options of [{ idempotent: true }, { profile: "deterministic" }] as const) {
    const { result, seen } = await loseWhileRunning(options);
    if (result instanceof PlasmError) throw new Error(JSON.stringify(result.toJSON()));
    assertEquals(outcomes(result.attempts), ["yes no-peer", "yes ok"]);
    assertStringIncludes(result.attempts[0]!.error!.message, "Nothing was received for 0.02 s");
    assertEquals(result.text, "dlroW ,olleH");
    assertEquals(seen.filter((event) => event.startsWith("dial")), []);
    assertEquals(seen.filter((event) => event === "attempt-failed"), ["attempt-failed"]);
  }
});

Deno.test("runOnPeers() says what is known about a lost job that must not run twice", async () => {
  const { result: error, seen, other } = await loseWhileRunning({});
  if (!(error instanceof PlasmError)) throw new Error("The job has a result");
  assertEquals({ code: error.code, retryable: error.retryable, ran: error.details["ran"] }, {
    code: "no-peer",
    retryable: false,
    ran: "yes",
  });
  assertStringIncludes(error.message, "the job started there 0 s before");
  assertStringIncludes(error.hint!, "idempotent");
  assertEquals(outcomes(error.details["attempts"] as unknown as AttemptReport[]), ["yes no-peer"]);
  assertEquals(other.dialCount, 0);
  // It has tried to connect anew: the open connection does not answer.
  assertEquals(seen.filter((event) => ["reconnecting", "dial fresh"].includes(event)), [
    "reconnecting",
    "dial fresh",
  ]);
});

Deno.test("runOnPeers() moves a job that did not run to another node when its node is silent in the transfer", async () => {
  await using lost = await TestNode.create();
  await using other = await TestNode.create();
  const link = new SilentLink();
  lost.wrap = link.wrap;
  const { attempts } = await run({
    nodes: [lost, other],
    job: await makeJob({ module: seededBytes(2 ** 20) }),
    timeouts: shortAtFirst({ silence: 20 }),
    onEvent: ({ type, peerId }) => {
      if (type === "sending" && peerId === lost.peerId) link.silence();
    },
  });
  assertEquals(outcomes(attempts), ["no no-peer", "yes ok"]);
  assertEquals(attempts[0]!.error!.retryable, true);
  assertStringIncludes(attempts[0]!.error!.message, "the job did not run there");
});

Deno.test("runOnPeers() resumes the job of a lost node when there is no other", async () => {
  await using node = await TestNode.create();
  const link = new SilentLink();
  const finish = Promise.withResolvers<void>();
  node.host.program = async function* (stdin) {
    await finish.promise;
    yield stdin.toReversed();
  };
  node.wrap = link.wrap;
  const { text, attempts } = await run({
    nodes: [node],
    job: await makeJob({ idempotent: true }),
    timeouts: shortAtFirst({ silence: 20 }),
    onEvent: ({ type }) => {
      if (type === "started") link.silence();
      if (type !== "attempt-failed") return;
      node.wrap = (stream) => stream;
      finish.resolve();
    },
  });
  assertEquals({ text, outcomes: outcomes(attempts), submitted: node.host.submitted.length }, {
    text: "dlroW ,olleH",
    outcomes: ["yes no-peer", "yes ok"],
    submitted: 1,
  });
});

Deno.test("JobServer sends keep-alives during a transfer and while a job has no events", async () => {
  await using node = await TestNode.create({ aliveMs: 1 });
  node.host.program = hang;
  const job = await makeJob({ stdin: "" });
  const channel = new FrameChannel(node.dial());
  await channel.write(await makeOffer(job, { nonce: NONCE, now: Date.now() }));
  const { job_id, node_nonce } = await channel.read(["accept"]);
  await channel.read(["alive"]);
  for await (const chunk of chunksOf(job.module, 0)) await channel.write(chunk);
  await channel.write({ type: "begin", job_id, node_nonce });
  const next = (): Promise<{ type: string }> => channel.read(["event", "alive"]);
  while ((await next()).type === "alive");
  while ((await next()).type === "event");
  channel.abort(new Error("Test ended"));
});
