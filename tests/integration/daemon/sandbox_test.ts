/**
 * Tests of the daemon with the real sandbox.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { command, SPIN, write } from "../../fixtures/sandbox_jobs.ts";
import { assemble } from "../../fixtures/reorder_modules.ts";
import { testDaemon } from "../../fixtures/daemon/harness.ts";

const HELLO = await Deno.readFile(new URL("../../../examples/hello/hello.wasm", import.meta.url));

Deno.test("the daemon runs a module in the sandbox and signs its receipt", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const stdin = new TextEncoder().encode("Hello, World");
  const ids: string[] = [];
  for (let n = 0; n < 4; n++) ids.push((await client.submit(HELLO, { stdin })).id);
  for (const id of ids) {
    const { stdout, receipt } = await client.result(id);
    assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
    await verifyReceipt(receipt, {
      key: daemon.identity.publicKey,
      module: HELLO,
      stdin,
      stdout,
    });
  }
});

Deno.test("the daemon stores the stack of a job that trapped", async () => {
  await using fixture = await testDaemon({ real: true });
  using client = connectDaemon({ socket: fixture.daemon.socket });
  const module = await assemble(`(module (memory (export "memory") 1)
    (func $inner unreachable) (func (export "_start") (call $inner)))`);
  const { id } = await client.submit(module);
  const { job } = await client.result(id);
  assertEquals([job.status, job.backtrace?.map(({ name, function: at }) => [name, at])], [
    "trapped",
    [["inner", 0], [null, 1]],
  ]);
  assertEquals((await client.job(id)).backtrace, job.backtrace);
});

Deno.test("the daemon cancels a busy job, stores its output and starts the next", async () => {
  await using fixture = await testDaemon({ real: true, config: { "jobs.concurrency": 1 } });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const { id } = await client.submit(await command(`${write(1, 3)} ${SPIN}`));
  for await (const { type } of client.events(id)) if (type === "stdout") break;
  const job = await client.cancel(id);
  assertEquals({ state: job.state, status: job.status, stdoutBytes: job.stdout_bytes }, {
    state: "finished",
    status: "cancelled",
    stdoutBytes: 3,
  });
  const receipt = await client.receipt(id);
  assertEquals({ status: receipt.claim.status, stdoutBytes: receipt.claim.stdout.bytes }, {
    status: "cancelled",
    stdoutBytes: 3,
  });
  const { id: next } = await client.submit(HELLO, { stdin: new Uint8Array([65, 66]) });
  assertEquals((await client.result(next)).stdout, new Uint8Array([66, 65]));
});

Deno.test("the daemon reports the status of jobs that do not exit normally", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const run = async (body: string, resources = {}): Promise<[string | null, number | null]> => {
    const { id } = await client.submit(await command(body), { manifest: { resources } });
    const { job, receipt } = await client.result(id);
    assertEquals(receipt.claim.status, job.status);
    assert(job.status === "exited" || job.message !== null);
    return [job.status, job.exit_code];
  };
  assertEquals(await run("(call $proc_exit (i32.const 42))"), ["exited", 42]);
  assertEquals(await run("unreachable"), ["trapped", null]);
  assertEquals(await run(SPIN, { timeout_seconds: 1 }), ["timeout", null]);
  const flood = `(loop $more ${write(1, 1000)} (br $more))`;
  assertEquals(await run(flood, { output_bytes: 5000 }), ["output", null]);
});

Deno.test("the daemon refuses a module that cannot start, and fails a job whose module is invalid", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  const text = new TextEncoder().encode("not a module");
  for (const call of [() => client.submit(text), () => client.run(text)]) {
    const error = await assertRejects(call, PlasmError);
    assertEquals(error.code, "bad-module");
  }
  assertEquals((await client.jobs()).jobs, []);
  // Only the engine reads function bodies, in the executor.
  const { id } = await client.submit(await command("nop drop"));
  const error = await assertRejects(() => client.result(id), PlasmError);
  assertEquals(error.code, "bad-module");
});

Deno.test("the daemon streams a large input and issues no receipt when the stored input was changed", async () => {
  await using fixture = await testDaemon({ real: true });
  const { daemon, dir } = fixture;
  using client = connectDaemon({ socket: daemon.socket });
  // Above the in-memory limit; the program reads none of it, but its hash is verified.
  const stdin = new Uint8Array(5 * 2 ** 20).fill(7);
  const module = await command(write(1, 1));
  const { receipt, stdout } = await client.run(module, { stdin });
  await verifyReceipt(receipt, { stdin, stdout, module });

  const hash = receipt.claim.stdin_hash;
  await Deno.writeFile(`${dir}/state/blobs/${hash.slice("sha256:".length)}`, stdin.fill(8));
  const manifest = { stdin_hash: hash };
  const error = await assertRejects(() => client.run(module, { manifest }), PlasmError);
  assertEquals({ code: error.code, hasHash: error.message.includes(hash) }, {
    code: "state",
    hasHash: true,
  });
});
