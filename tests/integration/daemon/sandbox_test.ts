/**
 * The daemon with the real sandbox.
 * @module
 */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { command, SPIN, write } from "../../fixtures/sandbox_jobs.ts";
import { withDaemon } from "../../fixtures/daemon/harness.ts";

const HELLO = await Deno.readFile(new URL("../../../examples/hello/hello.wasm", import.meta.url));

Deno.test("the daemon runs hello in the sandbox and signs what it did", () =>
  withDaemon(async ({ daemon }) => {
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
  }, { real: true }));

Deno.test("the daemon cancels a job that spins, keeps its output, and has room for the next", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const { id } = await client.submit(await command(`${write(1, 3)} ${SPIN}`));
    for await (const { type } of client.events(id)) if (type === "stdout") break;
    const job = await client.cancel(id);
    assertEquals([job.state, job.status, job.stdout_bytes], ["finished", "cancelled", 3]);
    const receipt = await client.receipt(id);
    assertEquals([receipt.status, receipt.stdout_bytes], ["cancelled", 3]);
    const { id: next } = await client.submit(HELLO, { stdin: new Uint8Array([65, 66]) });
    assertEquals((await client.result(next)).stdout, new Uint8Array([66, 65]));
  }, { real: true, config: { "jobs.concurrency": 1 } }));

Deno.test("the daemon reports how jobs end that do not simply exit", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const run = async (body: string, resources = {}): Promise<[string | null, number | null]> => {
      const { id } = await client.submit(await command(body), { manifest: { resources } });
      const { job, receipt } = await client.result(id);
      assertEquals(receipt.status, job.status);
      assert(job.status === "exited" || job.message !== null);
      return [job.status, job.exit_code];
    };
    assertEquals(await run("(call $proc_exit (i32.const 42))"), ["exited", 42]);
    assertEquals(await run("unreachable"), ["trapped", null]);
    assertEquals(await run(SPIN, { timeout_seconds: 1 }), ["timeout", null]);
    const flood = `(loop $more ${write(1, 1000)} (br $more))`;
    assertEquals(await run(flood, { output_bytes: 5000 }), ["output", null]);
  }, { real: true }));

Deno.test("the daemon says why a module cannot begin", () =>
  withDaemon(async ({ daemon }) => {
    using client = connectDaemon({ socket: daemon.socket });
    const { id } = await client.submit(new TextEncoder().encode("not a module"));
    const error = await client.result(id).then(() => undefined, PlasmError.from);
    assertEquals(error?.code, "bad-module");
  }, { real: true }));

Deno.test("the daemon streams a large input to its job, and gives no receipt for another", () =>
  withDaemon(async ({ daemon, dir }) => {
    using client = connectDaemon({ socket: daemon.socket });
    // Above what is held in memory; the program reads none of it, its hash is proved all the same.
    const stdin = new Uint8Array(5 * 2 ** 20).fill(7);
    const module = await command(write(1, 1));
    const { receipt, stdout } = await client.run(module, { stdin });
    await verifyReceipt(receipt, { stdin, stdout, module });

    const hash = receipt.stdin_hash;
    await Deno.writeFile(`${dir}/state/blobs/${hash.slice("sha256:".length)}`, stdin.fill(8));
    const manifest = { stdin_hash: hash };
    const error = await assertRejects(() => client.run(module, { manifest }), PlasmError);
    assertEquals([error.code, error.message.includes(hash)], ["state", true]);
  }, { real: true }));
