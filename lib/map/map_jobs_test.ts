import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { command, write } from "../../tests/fixtures/sandbox_jobs.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { ephemeralIdentity, verifyReceipt } from "../core/mod.ts";
import { mapJobs } from "./map_jobs.ts";

const HELLO = await Deno.readFile(new URL("../../examples/hello/hello.wasm", import.meta.url));
const encoder = new TextEncoder();
const decoder = new TextDecoder();
const describe = (text: string) => ({ stdin: encoder.encode(text) });

Deno.test("mapJobs() yields results in the order of the items with keepOrder", async () => {
  const items = Array.from({ length: 40 }, (_, at) => `item ${at}`);
  const signer = await ephemeralIdentity();
  const results = await Array.fromAsync(
    mapJobs(HELLO, items, { describe, keepOrder: true, jobs: 2, signer }),
  );
  assertEquals(results.map(({ item }) => item), items);
  for (const { item, stdout, receipt, index } of results) {
    assertEquals(decoder.decode(stdout), [...item].reverse().join(""));
    assertEquals(items[index - 1], item);
    await verifyReceipt(receipt, { module: HELLO, stdin: encoder.encode(item), stdout });
  }
});

Deno.test("mapJobs() reads items only as jobs start, and stops reading when the loop is left", async () => {
  let read = 0;
  function* endless(): Generator<string> {
    while (true) yield `item ${++read}`;
  }
  let done = 0;
  for await (const { outcome } of mapJobs(HELLO, endless(), { describe, jobs: 2 })) {
    assertEquals(outcome?.exitCode, 0);
    if (++done === 20) break;
  }
  assert(read < 20 + 64 + 2 + 2, `${read}`);
});

Deno.test("mapJobs() reports an item that cannot be described, and goes on", async () => {
  const results = await Array.fromAsync(mapJobs(HELLO, ["a", "b", "c"], {
    keepOrder: true,
    describe: (text) => {
      if (text === "b") throw new PlasmError("bad-input", "Cannot read b");
      return describe(text);
    },
  }));
  assertEquals(results.map(({ error }) => error?.message), [undefined, "Cannot read b", undefined]);
});

Deno.test("mapJobs() repeats a job that fails, as often as tries allows", async () => {
  const fails = await command("(call $proc_exit (i32.const 3))");
  const [result] = await Array.fromAsync(
    mapJobs(fails, [1], { describe: () => ({}), tries: 3 }),
  );
  assertEquals([result?.outcome?.exitCode, result?.attempts], [3, 3]);
});

Deno.test("mapJobs() stops after the first 20 failures without a success", async () => {
  const traps = await command("unreachable");
  let results = 0;
  const error = await assertRejects(async () => {
    for await (const _ of mapJobs(traps, new Array(10_000).fill(0), { describe: () => ({}) })) {
      results++;
    }
  }, PlasmError);
  assertStringIncludes(error.message, "the first 20 items failed");
  assert(results >= 20 && results < 40, `${results}`);
});

Deno.test("mapJobs() stops running jobs when halt is now", async () => {
  const spins = await command(
    `(if (i32.eqz (i32.load8_u (i32.const 2000))) (then ${write(1, 4)}))
     (loop $spin (br_if $spin (i32.eqz (i32.load8_u (i32.const 2000)))))`,
  );
  const trapping = new PlasmError("bad-input", "Cannot read item");
  const run = mapJobs(spins, ["spin", "fail"], {
    jobs: 2,
    halt: "now,fail=1",
    describe: (item) => {
      if (item === "fail") throw trapping;
      return {};
    },
  });
  const items: string[] = [];
  await assertRejects(
    async () => {
      for await (const { item } of run) items.push(item);
    },
    PlasmError,
    "1 item failed",
  );
  assertEquals(items, ["fail"]);
});

Deno.test("mapJobs() throws interrupted when the signal aborts, and ends the jobs that run", async () => {
  const spins = await command("(loop $spin (br $spin))");
  const controller = new AbortController();
  const run = mapJobs(spins, [1, 2, 3], {
    jobs: 2,
    signal: controller.signal,
    describe: (item) => {
      if (item === 2) queueMicrotask(() => controller.abort());
      return {};
    },
  });
  const error = await assertRejects(() => Array.fromAsync(run), PlasmError);
  assertEquals(error.code, "interrupted");
});

Deno.test("mapJobs() refuses a module that cannot be run", async () => {
  const run = mapJobs(new Uint8Array([0, 97, 115, 109]), [1], { describe: () => ({}) });
  const [result] = await Array.fromAsync(run);
  assertEquals(result?.error?.code, "bad-module");
});

Deno.test("mapJobs() passes PLASM_INDEX in the environment, which a job may override", async () => {
  const signer = await ephemeralIdentity();
  const manifests = [];
  const envs = [{}, { PLASM_INDEX: "x" }];
  for await (
    const { receipt, index } of mapJobs(HELLO, envs, { describe: (env) => ({ env }), signer })
  ) {
    manifests[index] = receipt?.claim.manifest_hash;
  }
  assert(manifests[1] !== manifests[2]);
});
