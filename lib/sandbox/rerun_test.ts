import { assert, assertEquals, assertRejects } from "@std/assert";
import { command, SPIN, write } from "../../tests/fixtures/sandbox_jobs.ts";
import { fileGuest } from "../../tests/fixtures/file_guest.ts";
import { nondeterministicModule } from "../../tests/fixtures/nondeterministic_modules.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { ephemeralIdentity, sha256 } from "../core/mod.ts";
import { signReceipt } from "../core/receipt.ts";
import type { Claim, Receipt } from "../core/types.gen.ts";
import { rerun } from "./rerun.ts";
import { type JobResult, runJob, type RunJobOptions } from "./run_job.ts";

const HELLO = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
const STDIN = new TextEncoder().encode("Hello, World");

/** Runs a module and returns its job and receipt. */
async function run(
  module: Uint8Array,
  options: RunJobOptions = {},
): Promise<JobResult & { receipt: Receipt }> {
  const result = await runJob(module, { signer: await ephemeralIdentity(), ...options });
  assert(result.receipt !== undefined);
  return { ...result, receipt: result.receipt };
}

/** The receipt of a node that claims something else. */
async function dishonest({ claim, run }: Receipt, changes: Partial<Claim>): Promise<Receipt> {
  return await signReceipt({ claim: { ...claim, ...changes }, run }, await ephemeralIdentity());
}

Deno.test("rerun() returns reproduced, and a receipt with the same claim", async () => {
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN });
  const signer = await ephemeralIdentity();
  const result = await rerun(receipt, { manifest, module: HELLO, stdin: STDIN, signer });
  assertEquals(result.outcome, "reproduced");
  assertEquals(result.difference, undefined);
  assertEquals(result.receipt?.claim, receipt.claim);
  assertEquals(result.receipt?.run.node.public_key, signer.publicKey);
});

Deno.test("rerun() runs a job with inputs and arguments again", async () => {
  const inputs = { "data/": new Uint8Array(), "data/a": STDIN };
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN, inputs, args: ["a", "b"] });
  const job = { manifest, module: HELLO, stdin: STDIN, inputs };
  assertEquals((await rerun(receipt, job)).outcome, "reproduced");
  await assertRejects(() => rerun(receipt, { ...job, inputs: {} }), PlasmError, "data/a");
});

Deno.test("rerun() returns different with the first byte when a node claims another output", async () => {
  const { receipt, manifest, stdout } = await run(HELLO, { stdin: STDIN });
  for (const [at, length] of [[0, 12], [3, 12], [11, 12], [12, 20], [5, 5]] as const) {
    const claimed = new Uint8Array(length);
    claimed.set(stdout.subarray(0, length));
    if (at < Math.min(length, stdout.length)) claimed[at]! ^= 1;
    const forged = await dishonest(receipt, {
      stdout: { hash: await sha256(claimed), bytes: length },
    });
    const job = { manifest, module: HELLO, stdin: STDIN };
    const known = await rerun(forged, { ...job, stdout: claimed });
    assertEquals([known.outcome, known.byte, known.sources], ["different", at, []]);
    const unknown = await rerun(forged, job);
    assertEquals([unknown.outcome, unknown.byte], ["different", undefined]);
    assertEquals(unknown.difference?.field, length === 12 ? "stdout.hash" : "stdout.bytes");
  }
});

Deno.test("rerun() compares output files and names the first byte that differs", async () => {
  const steps = [{ mkdir: "out" }, { write: "out/a", text: "same" }, {
    write: "out/b",
    text: "file",
  }];
  const module = await fileGuest(steps);
  const { receipt, manifest, outputs } = await run(module, { outputs: ["out/"] });
  assertEquals([...outputs.keys()], ["out/a", "out/b"]);
  assertEquals((await rerun(receipt, { manifest, module, outputs })).outcome, "reproduced");
  const claimed = new Map([...outputs, ["out/b", new TextEncoder().encode("fiLe")]]);
  const forged = await dishonest(receipt, {
    outputs: {
      ...receipt.claim.outputs,
      "out/b": { hash: await sha256(claimed.get("out/b")!), bytes: 4 },
    },
  });
  const { outcome, difference, byte } = await rerun(forged, { manifest, module, outputs: claimed });
  assertEquals([outcome, difference?.field, byte], ["different", 'outputs["out/b"].hash', 2]);
  const { "out/a": kept } = receipt.claim.outputs;
  const fewer = await rerun(await dishonest(receipt, { outputs: { "out/a": kept! } }), {
    manifest,
    module,
  });
  assertEquals([fewer.outcome, fewer.difference?.field], ["different", 'outputs["out/b"]']);
});

Deno.test("rerun() returns different when a node claims another exit code or a source that the job does not use", async () => {
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN });
  const job = { manifest, module: HELLO, stdin: STDIN };
  const changes: [Partial<Claim>, string][] = [
    [{ exit_code: 3 }, "exit_code"],
    [{ nondeterminism: ["random"] }, "nondeterminism"],
  ];
  for (const [change, field] of changes) {
    const { outcome, difference } = await rerun(await dishonest(receipt, change), job);
    assertEquals([outcome, difference?.field], ["different", field]);
  }
});

for (const source of ["clock", "random"] as const) {
  Deno.test(`rerun() returns not-reproducible with ${source} when the output depends on it`, async () => {
    const module = await nondeterministicModule(source);
    const { receipt, manifest } = await run(module);
    const { outcome, sources, difference } = await rerun(receipt, { manifest, module });
    assertEquals([outcome, sources], ["not-reproducible", [source]]);
    assertEquals(difference?.field, "stdout.hash");
  });

  Deno.test(`rerun() returns reproduced when the job uses ${source} without writing it`, async () => {
    const module = await nondeterministicModule(source, { writes: false });
    const { receipt, manifest } = await run(module);
    const { outcome, sources } = await rerun(receipt, { manifest, module });
    assertEquals([outcome, sources], ["reproduced", [source]]);
  });
}

Deno.test("rerun() returns not-reproducible when the node's limits ended the job", async () => {
  const module = await command(`${write(1, 4)} ${SPIN}`);
  const { receipt, manifest } = await run(module, {
    resources: { timeout_seconds: 1 },
    ceilings: { timeout_seconds: 1 },
  });
  assertEquals(receipt.claim.status, "timeout");
  const other = await dishonest(receipt, { stdout: { hash: await sha256(STDIN), bytes: 12 } });
  const { outcome, sources } = await rerun(other, { manifest, module });
  assertEquals([outcome, sources], ["not-reproducible", ["timeout"]]);
});

Deno.test("rerun() does not run a job that was cancelled or rejected", async () => {
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN });
  for (const status of ["cancelled", "rejected"] as const) {
    const other = await dishonest(receipt, { status, exit_code: null });
    const result = await rerun(other, { manifest, module: HELLO, stdin: STDIN });
    assertEquals([result.outcome, result.sources, result.receipt], [
      "not-reproducible",
      [status],
      undefined,
    ]);
  }
});

Deno.test("rerun() refuses a receipt that is not valid or is of another job", async () => {
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN });
  const forged = { ...receipt, claim: { ...receipt.claim, exit_code: 3 } };
  const job = { manifest, module: HELLO, stdin: STDIN };
  await assertRejects(() => rerun(forged, job), PlasmError, "signature");
  const other = await nondeterministicModule("clock");
  for (
    const changes of [{ module: other }, { stdin: undefined }, {
      manifest: { ...manifest, args: ["x"] },
    }]
  ) {
    const error = await assertRejects(() => rerun(receipt, { ...job, ...changes }), PlasmError);
    assertEquals(error.code, "bad-receipt");
  }
});

Deno.test("rerun() compares with a run elsewhere", async () => {
  const { receipt, manifest, stdout, stderr } = await run(HELLO, { stdin: STDIN });
  const again = await run(HELLO, { stdin: STDIN });
  const job = { manifest, module: HELLO, stdin: STDIN };
  const same = { receipt: again.receipt, stdout, stderr };
  assertEquals(
    (await rerun(receipt, { ...job, run: () => Promise.resolve(same) })).outcome,
    "reproduced",
  );
  const changed = stdout.slice();
  changed[7]! ^= 1;
  const claimed = await dishonest(receipt, {
    stdout: { hash: await sha256(changed), bytes: changed.length },
  });
  const parts = ReadableStream.from([stdout.subarray(0, 5), stdout.subarray(5)]);
  const { outcome, byte } = await rerun(claimed, {
    ...job,
    stdout: changed,
    run: () => Promise.resolve({ ...same, stdout: parts }),
  });
  assertEquals([outcome, byte], ["different", 7]);
});

Deno.test("rerun() throws interrupted when the signal aborts", async () => {
  const { receipt, manifest } = await run(HELLO, { stdin: STDIN });
  const job = { manifest, module: HELLO, stdin: STDIN, signal: AbortSignal.abort() };
  const error = await assertRejects(() => rerun(receipt, job), PlasmError);
  assertEquals(error.code, "interrupted");
});
